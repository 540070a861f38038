"""Names lead to adapters, and no adapter is made before it is needed."""

from localassist.llm.base import ChatMessage, ChatRequest, ModelInfo
from localassist.llm.router import ModelRouter, Route
from localassist.llm.scripted import ScriptedModel


def asked(model: str) -> ChatRequest:
    return ChatRequest(model, [ChatMessage("user", "Hi")])


async def text_of(router: ModelRouter, model: str) -> str:
    return "".join([delta.text async for delta in router.stream(asked(model))])


async def test_a_configured_name_goes_to_its_adapter_under_the_name_it_has_there() -> None:
    here, there = ScriptedModel("here"), ScriptedModel("there")
    router = ModelRouter({"big": Route(there, "vendor/big-1")}, default=Route(here, "small-1"))

    assert await text_of(router, "big") == "there"
    assert there.requests == [asked("vendor/big-1")]


async def test_any_other_name_is_served_by_the_default() -> None:
    here = ScriptedModel("here", info=ModelInfo(context_tokens=512))
    router = ModelRouter({}, default=Route(here, "small-1"))

    assert await text_of(router, "gpt-4o") == "here"
    assert here.requests == [asked("small-1")]
    assert router.info("gpt-4o").context_tokens == 512


async def test_an_adapter_is_made_when_first_needed_and_once_for_all_its_routes() -> None:
    made: list[ScriptedModel] = []

    def make() -> ScriptedModel:
        made.append(ScriptedModel("one", "two", info=ModelInfo(supports_tools=True)))
        return made[-1]

    router = ModelRouter({"a": Route(make, "x/a"), "b": Route(make, "x/b")}, default=Route(ScriptedModel("d"), "d"))

    router.info("d")
    await router.warm()
    assert await text_of(router, "other") == "d"
    assert made == []
    await router.warm("a")
    assert router.info("a").supports_tools
    assert [await text_of(router, "a"), await text_of(router, "b")] == ["one", "two"]
    assert len(made) == 1
    assert [r.model for r in made[0].requests] == ["x/a", "x/b"]


async def test_closing_closes_what_was_given_and_what_was_made_and_makes_nothing() -> None:
    given, lazy = ScriptedModel(), ScriptedModel()
    never: list[str] = []

    def make_never() -> ScriptedModel:
        never.append("made")
        return ScriptedModel()

    router = ModelRouter({"a": Route(lambda: lazy, "a"), "b": Route(make_never, "b")}, default=Route(given, "d"))
    await router.warm("a")

    await router.close()

    assert (given.closed, lazy.closed, never) == (True, True, [])
