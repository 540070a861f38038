"""Both adapters against a scripted server over real HTTP: what a server says is what the run loop reads."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from localassist.config import quiet_litellm
from localassist.egress import Egress
from localassist.errors import ContextLengthError, EgressError, ModelError
from localassist.llm.base import ChatMessage, ChatModel, ChatRequest, Delta, ModelUsage, ToolSchema
from localassist.llm.openai_compatible import OpenAICompatibleModel
from tests.scripted import server as script
from tests.scripted.fixture import model_server as model_server
from tests.scripted.server import ScriptedServer, chunk, events

# litellm's own use of pydantic; shown to nobody outside the tests
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_")

SEARCH = ToolSchema("file_search", "Search.", {"type": "object", "properties": {"queries": {"type": "array"}}})
USAGE = ModelUsage(prompt_tokens=11, completion_tokens=7)
LONG_RULE = ["--------"] * 300


def litellm_model(base_url: str) -> ChatModel:
    quiet_litellm()
    from localassist.llm.litellm_model import LiteLLMModel

    return LiteLLMModel(base_url=base_url, egress=Egress())


def direct_model(base_url: str) -> ChatModel:
    return OpenAICompatibleModel(base_url=base_url, egress=Egress(), api_key="sk-test")


ADAPTERS: dict[str, tuple[Callable[[str], ChatModel], str]] = {
    "direct": (direct_model, "scripted"),
    "litellm": (litellm_model, "openai/scripted"),
}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Chat:
    """One adapter on one server."""

    def __init__(self, model: ChatModel, name: str) -> None:
        self.model, self.name = model, name

    def request(self, **options) -> ChatRequest:
        return ChatRequest(self.name, [ChatMessage("user", "Hi")], **options)

    async def deltas(self, **options) -> list[Delta]:
        return [delta async for delta in self.model.stream(self.request(**options))]

    async def text(self, **options) -> str:
        return "".join(delta.text for delta in await self.deltas(**options))

    async def fails(self, **options) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.deltas(**options)
        return caught.value


@pytest.fixture
async def chat(adapter: str, model_server: ScriptedServer) -> AsyncIterator[Chat]:
    make, name = ADAPTERS[adapter]
    chat = Chat(make(model_server.base_url), name)
    yield chat
    await chat.model.close()


@pytest.fixture
async def direct(model_server: ScriptedServer) -> AsyncIterator[Chat]:
    chat = Chat(direct_model(model_server.base_url), "scripted")
    yield chat
    await chat.model.close()


def shape(deltas: list[Delta]) -> tuple[str, list[tuple[str, str]], list[str], list[ModelUsage]]:
    """Text, tool calls, finish reasons and usages of a reply; checks that id and name come first and once."""
    calls: dict[int, list[str]] = {}
    for part in (part for delta in deltas for part in delta.tool_calls):
        if part.index not in calls:
            assert part.id
            assert part.name
            calls[part.index] = [part.name, part.arguments]
        else:
            assert (part.id, part.name) == (None, None)
            calls[part.index][1] += part.arguments
    return (
        "".join(delta.text for delta in deltas),
        [(name, arguments) for name, arguments in (calls[i] for i in range(len(calls)))],
        [delta.finish_reason for delta in deltas if delta.finish_reason],
        [delta.usage for delta in deltas if delta.usage],
    )


async def test_a_text_comes_as_it_was_sent_with_its_finish_and_usage(chat: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.text("Grüße, 世界 🙂 — done"))

    assert shape(await chat.deltas()) == ("Grüße, 世界 🙂 — done", [], ["stop"], [USAGE])
    assert model_server.chats[0]["stream"] is True
    assert model_server.chats[0]["stream_options"] == {"include_usage": True}
    assert model_server.chats[0]["model"] == "scripted"


async def test_tool_calls_in_fragments_come_whole(chat: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.tool_calls(script.call("file_search", {"queries": ["α", "b"]}), script.call("g", "{bad")))

    deltas = await chat.deltas(tools=[SEARCH], temperature=0.0, max_completion_tokens=9)

    calls = [("file_search", '{"queries": ["α", "b"]}'), ("g", "{bad")]
    assert shape(deltas) == ("", calls, ["tool_calls"], [USAGE])
    body = model_server.chats[0]
    assert body["tools"][0]["function"]["name"] == "file_search"
    assert (body["tool_choice"], body["temperature"]) == ("auto", 0.0)
    assert 9 in {body.get("max_tokens"), body.get("max_completion_tokens")}


async def test_a_reply_that_repeats_one_chunk_is_not_aborted(chat: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.text(LONG_RULE))

    assert await chat.text() == "".join(LONG_RULE)


@pytest.mark.parametrize(
    ("reply", "code", "retryable", "words"),
    [
        (script.error(401, "no such key"), "server_error", False, "no such key"),
        (script.error(429, "slow down", headers={"retry-after": "3"}), "rate_limit_exceeded", True, "slow down"),
        (script.error(500, "boom"), "server_error", True, "boom"),
        (script.error(503, "loading model"), "server_error", True, "loading model"),
        (script.error(400, "bad image"), "invalid_prompt", False, "bad image"),
        (script.text("a b c d").cut_after(3), "server_error", True, "cut off"),
        (script.text("a b c d").ended_after(3), "server_error", True, "cut off"),
        (events(["{bad"]), "server_error", True, "cut off"),
        (events([chunk({"content": "a"}), {"error": {"message": "out of memory"}}]), "server_error", True, "memory"),
        (script.json_body({"choices": []}), "server_error", True, "no choice"),
        (events([chunk(None)]), "server_error", True, ""),
    ],
    ids=["401", "429", "500", "503", "400", "cut", "ended", "no JSON", "error chunk", "no choice", "empty choices"],
)
async def test_a_failure_is_told_with_its_words_and_whether_to_try_again(
    chat: Chat, model_server: ScriptedServer, reply: script.Reply, code: str, retryable: bool, words: str
) -> None:
    model_server.reply(reply)

    error = await chat.fails()

    assert (error.code, error.retryable) == (code, retryable)
    assert words in error.message
    assert len(model_server.requests) == 1, "retries belong to the run loop"


async def test_the_wait_that_a_server_asks_for_is_passed_on(chat: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.error(429, "slow down", headers={"retry-after": "3"}))

    assert (await chat.fails()).retry_after_s == 3.0


async def test_a_prompt_that_is_too_long_says_what_fits(chat: Chat, model_server: ScriptedServer) -> None:
    said = "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens."
    model_server.reply(script.error(400, said, code="context_length_exceeded"))

    error = await chat.fails()

    assert isinstance(error, ContextLengthError)
    assert error.max_tokens == 4096


async def test_a_server_that_falls_silent_is_given_up(chat: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.text("a b").hanging_after(2))

    error = await chat.fails(timeout_s=0.3)

    assert error.retryable
    assert "did not answer within 0.3 seconds" in error.message


async def test_a_server_that_is_not_there_is_named(adapter: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    make, name = ADAPTERS[adapter]

    chat = Chat(make(url), name)

    error = await chat.fails()
    await chat.model.close()

    assert error.retryable
    assert error.message.startswith(f"No model server answers at {url}")


async def test_a_host_that_was_not_named_is_refused_before_anything_is_sent(adapter: str) -> None:
    make, name = ADAPTERS[adapter]

    with pytest.raises(EgressError, match=r"models\.example"):
        await Chat(make("https://models.example/v1"), name).deltas()


async def test_a_provider_of_litellm_that_was_not_named_is_refused() -> None:
    quiet_litellm()
    from localassist.llm.litellm_model import LiteLLMModel

    model = LiteLLMModel(egress=Egress())

    with pytest.raises(EgressError, match=r"api\.anthropic\.com"):
        await Chat(model, "anthropic/claude-x").deltas()


def test_litellm_knows_models_without_asking_anyone() -> None:
    model = litellm_model("http://127.0.0.1:9/v1")

    info = model.info("openai/gpt-4o")

    assert (info.context_tokens, info.supports_tools, info.supports_images) == (128_000, True, True)
    assert model.info("nobody/knows").context_tokens is None


def test_the_direct_adapter_loads_no_library_of_a_provider() -> None:
    code = (
        "import sys, localassist.llm.openai_compatible, localassist.llm.router, localassist.llm.extractive;"
        "print(sorted({'litellm', 'openai', 'httpx'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


# ---- what only the direct adapter promises


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: reply.split(1),
        lambda reply: reply.split(7).with_crlf(),
        lambda reply: reply.in_one_packet(),
        lambda reply: reply.with_comments(),
        lambda reply: reply.with_comments().with_crlf().split(3),
    ],
    ids=["single bytes", "CRLF", "one packet", "comments", "all of it"],
)
async def test_packets_make_no_difference(direct: Chat, model_server: ScriptedServer, change) -> None:
    model_server.reply(change(script.text("Grüße 世界 🙂")))

    assert shape(await direct.deltas()) == ("Grüße 世界 🙂", [], ["stop"], [USAGE])


async def test_an_unstreamed_answer_is_read_as_well(direct: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.whole("Hello"), script.whole(None, script.call("f", {"a": 1})))

    assert shape(await direct.deltas()) == ("Hello", [], ["stop"], [USAGE])
    assert shape(await direct.deltas()) == ("", [("f", '{"a": 1}')], ["tool_calls"], [USAGE])


async def test_a_stream_that_says_done_but_names_no_reason_is_complete(
    direct: Chat, model_server: ScriptedServer
) -> None:
    model_server.reply(script.text("a b", finish=None, usage=None))

    assert shape(await direct.deltas()) == ("a b", [], ["stop"], [])


async def test_a_stream_without_its_done_is_complete_once_it_named_its_reason(
    direct: Chat, model_server: ScriptedServer
) -> None:
    model_server.reply(events([chunk({"content": "a"}), chunk({}, finish="length")], done=False))

    assert shape(await direct.deltas()) == ("a", [], ["length"], [])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("stream_options", "Unrecognized request argument supplied: stream_options"),
        ("stream_options", "Extra inputs are not permitted"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("parallel_tool_calls", "parallel_tool_calls is not known"),
    ],
)
async def test_what_a_server_rejects_is_left_out_and_that_is_remembered(
    direct: Chat, model_server: ScriptedServer, option: str, said: str
) -> None:
    model_server.always(script.unless(option, said, script.text("fine")))
    options = {"tools": [SEARCH], "parallel_tool_calls": True, "max_completion_tokens": 5}

    assert await direct.text(**options) == "fine"
    assert await direct.text(**options) == "fine"

    assert [option in body for body in model_server.chats] == [True, False, False]
    assert 5 in {model_server.chats[-1].get("max_tokens"), model_server.chats[-1].get("max_completion_tokens")}


async def test_a_server_that_rejects_everything_is_not_asked_for_ever(
    direct: Chat, model_server: ScriptedServer
) -> None:
    model_server.always(script.error(400, "unsupported: stream_options, parallel_tool_calls"))

    error = await direct.fails(tools=[SEARCH], parallel_tool_calls=False)

    assert error.code == "invalid_prompt"
    assert len(model_server.chats) == 3


async def test_a_page_that_is_no_chat_server_is_shown(direct: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.raw(b"<html>Welcome</html>", content_type="text/html"))

    assert "<html>Welcome</html>" in (await direct.fails()).message


async def test_a_redirect_is_not_followed(direct: Chat, model_server: ScriptedServer) -> None:
    model_server.reply(script.Reply((), 307, {"location": "http://example.com/v1"}))

    assert "redirects are not followed" in (await direct.fails()).message


async def test_one_connection_serves_many_calls(direct: Chat, model_server: ScriptedServer) -> None:
    model_server.always(script.text("fine"))

    for _ in range(5):
        await direct.text()

    assert {request.connection for request in model_server.requests} == {1}
    assert model_server.requests[0].headers["authorization"] == "Bearer sk-test"


async def test_closing_the_stream_ends_the_call_and_leaves_the_model_usable(
    direct: Chat, model_server: ScriptedServer
) -> None:
    model_server.reply(script.text("a b c").hanging_after(2), script.text("next"))

    async with aclosing(direct.model.stream(direct.request())) as deltas:  # type: ignore[type-var]  # a generator
        assert (await anext(deltas)).text == "a "

    assert await direct.text() == "next"


async def test_many_calls_run_side_by_side(direct: Chat, model_server: ScriptedServer) -> None:
    model_server.always(lambda request: script.text(request.body["messages"][0]["content"] + " it is"))

    async def ask(number: int) -> str:
        request = ChatRequest("scripted", [ChatMessage("user", str(number))])
        return "".join([d.text async for d in direct.model.stream(request)])

    assert await asyncio.gather(*map(ask, range(40))) == [f"{n} it is" for n in range(40)]
