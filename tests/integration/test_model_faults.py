"""Model servers that fail, through the whole stack over real HTTP, with both adapters, streamed and not."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.integration.serving import Served
from tests.scripted import server as script
from tests.scripted.server import RecordedRequest, Reply, ScriptedServer, chunk, events

ADAPTERS = {"direct": "scripted", "litellm": "openai/scripted"}
CITED = script.text("It turns at noon 【4:0†source】.")
SEARCH = script.tool_calls(script.call("file_search", {"queries": ["tide"]}), size=3)


@dataclass(frozen=True)
class World:
    """A server, its model's script, and an assistant with a file."""

    client: openai.OpenAI
    model_server: ScriptedServer
    assistant_id: str

    def run(self, *, streamed: bool, history: Sequence[str] = (), **options: Any) -> "Ended":
        """Ask, and follow the run to its end."""
        asked = [*history, "When does the tide turn?"]
        thread = self.client.beta.threads.create(messages=[{"role": "user", "content": text} for text in asked])
        runs = self.client.beta.threads.runs
        names: list[str] = []
        if streamed:
            with runs.stream(thread_id=thread.id, assistant_id=self.assistant_id, **options) as stream:
                names = [event.event for event in stream]
                run = stream.get_final_run()
        else:
            run = runs.create_and_poll(
                thread_id=thread.id, assistant_id=self.assistant_id, poll_interval_ms=20, **options
            )
        said = [m for m in self.client.beta.threads.messages.list(thread.id) if m.role == "assistant"]
        steps = list(runs.steps.list(run.id, thread_id=thread.id, order="asc"))
        assert not streamed or names[-1] == f"thread.run.{run.status}"
        assert all(step.status != "in_progress" for step in steps)
        return Ended(run, [m.content[0].text for m in said if m.content], steps)  # type: ignore[union-attr]


@dataclass(frozen=True)
class Ended:
    """A run that is over, the texts it wrote, and its steps."""

    run: Any
    said: list[Any]
    steps: list[Any]

    @property
    def citations(self) -> list[tuple[str, int, int]]:
        return [(a.text, a.start_index, a.end_index) for text in self.said for a in text.annotations]


@pytest.fixture(scope="module", params=ADAPTERS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home") / "home"
    with ScriptedServer() as model_server:
        served = Served(
            home,
            model_server.base_url,
            adapter=request.param,
            model=ADAPTERS[request.param],
            model_timeout_s=1.0,
            model_retries=1,
            max_turns=6,
        )
        with served, served.client() as client:
            file = client.files.create(file=("tides.md", b"# Tides\n\nThe tide turns at noon."), purpose="assistants")
            store = client.vector_stores.create()
            client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=50)
            assistant = client.beta.assistants.create(
                model="gpt-4o",
                tools=[{"type": "file_search"}],
                tool_resources={"file_search": {"vector_store_ids": [store.id]}},
            )
            yield World(client, model_server, assistant.id)
            assert served.is_running
            assert " ERROR localassist" not in served.log


@pytest.fixture
def world(opened: World) -> World:
    opened.model_server.clear()
    return opened


@pytest.fixture(params=[False, True], ids=["polled", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_tool_calls_in_fragments_lead_to_a_cited_answer(world: World, streamed: bool) -> None:
    world.model_server.reply(SEARCH.split(5), CITED.split(7))

    ended = world.run(streamed=streamed)

    assert ended.run.status == "completed"
    assert ended.citations == [("【4:0†source】", 17, 29)]
    assert ended.said[0].value[17:29] == "【4:0†source】"
    assert ended.run.usage.total_tokens == 36


@pytest.mark.parametrize(
    ("reply", "code", "words", "n_calls"),
    [
        (script.error(401, "no such key"), "server_error", "no such key", 1),
        (script.error(429, "slow down", headers={"retry-after": "0"}), "rate_limit_exceeded", "slow down", 2),
        (
            script.error(429, "come back tomorrow", headers={"retry-after": "86400"}),
            "rate_limit_exceeded",
            "tomorrow",
            1,
        ),
        (script.error(500, "out of memory"), "server_error", "out of memory", 2),
        (script.error(400, "bad picture"), "invalid_prompt", "bad picture", 1),
        (script.json_body({"choices": []}), "server_error", "no choice", 2),
        (events([chunk(None)]), "server_error", "empty", 2),
        (script.text("").hanging_after(0), "server_error", "did not answer within 1 seconds", 2),
        (script.raw(b"<html>Welcome</html>", content_type="text/html"), "server_error", "", 0),
    ],
    ids=["401", "429", "429 for a day", "500", "400", "no choice", "no chunk", "timeout", "a web page"],
)
def test_a_failing_model_fails_the_run_in_its_own_words(
    world: World, streamed: bool, reply: Reply, code: str, words: str, n_calls: int
) -> None:
    world.model_server.always(reply)

    ended = world.run(streamed=streamed)

    assert (ended.run.status, ended.run.last_error.code) == ("failed", code)
    assert words in ended.run.last_error.message
    assert ended.said == []
    assert len(world.model_server.chats) == n_calls or not n_calls


@pytest.mark.parametrize(
    "reply",
    [script.error(429, "slow down", headers={"retry-after": "0"}), script.error(500, "boom"), CITED.cut_after(0)],
    ids=["429", "500", "cut before its first word"],
)
def test_a_model_that_fails_once_is_asked_again(world: World, streamed: bool, reply: Reply) -> None:
    world.model_server.reply(reply, SEARCH, reply, CITED)

    ended = world.run(streamed=streamed)

    assert ended.run.status == "completed"
    assert len(ended.citations) == 1


def test_a_stream_cut_in_the_middle_keeps_what_was_said(world: World, streamed: bool) -> None:
    world.model_server.reply(script.text("It turns at noon.").cut_after(3))

    ended = world.run(streamed=streamed)

    assert (ended.run.status, ended.run.last_error.code) == ("failed", "server_error")
    assert "cut off" in ended.run.last_error.message
    assert [text.value for text in ended.said] == ["It turns"]
    assert [step.status for step in ended.steps] == ["failed"]


@pytest.mark.parametrize("arguments", ['{"queries": ["tide"', "", "[1]", '{"queries": 5}', "null", '{"x": "\\ud800"}'])
def test_arguments_that_cannot_be_read_are_told_to_the_model(world: World, streamed: bool, arguments: str) -> None:
    world.model_server.reply(script.tool_calls(script.call("file_search", arguments)), SEARCH, script.text("At noon."))

    ended = world.run(streamed=streamed)

    assert ended.run.status == "completed"
    complaint = world.model_server.chats[1]["messages"][-1]
    assert complaint["role"] == "tool"
    assert "again" in complaint["content"]


def test_an_unknown_tool_is_told_to_the_model(world: World, streamed: bool) -> None:
    world.model_server.reply(script.tool_calls(script.call("browse", {"url": "x"})), script.text("At noon."))

    ended = world.run(streamed=streamed)

    assert ended.run.status == "completed"
    assert "There is no tool 'browse'" in world.model_server.chats[1]["messages"][-1]["content"]


def test_a_model_that_only_calls_tools_is_stopped(world: World, streamed: bool) -> None:
    world.model_server.always(SEARCH)

    ended = world.run(streamed=streamed)

    assert ended.run.status == "failed"
    assert "6 turns" in ended.run.last_error.message


def test_a_prompt_that_is_too_long_is_shortened(world: World, streamed: bool) -> None:
    said = "This model's maximum context length is 2000 tokens. However, your messages resulted in 9000 tokens."

    def model(request: RecordedRequest) -> Reply:
        length = sum(len(str(message["content"])) for message in request.body["messages"])
        return script.error(400, said, code="context_length_exceeded") if length > 8_000 else script.text("At noon.")

    world.model_server.always(model)

    ended = world.run(streamed=streamed, history=["Once more. " * 100] * 40, model="small")

    assert ended.run.status == "completed"
    assert ended.said[0].value == "At noon."
    assert world.model_server.chats[-1]["messages"][-1]["content"] == "When does the tide turn?"


def test_a_model_without_tools_is_given_what_was_found(world: World, streamed: bool) -> None:
    def model(request: RecordedRequest) -> Reply:
        if request.body.get("tools"):
            return script.error(400, "registry.ollama.ai/library/gemma does not support tools")
        assert "The tide turns at noon." in request.body["messages"][0]["content"]
        return CITED

    world.model_server.always(model)

    ended = world.run(streamed=streamed, model=f"without-tools-{streamed}")

    assert ended.run.status == "completed"
    assert ended.citations == [("【4:0†source】", 17, 29)]
    assert [step.type for step in ended.steps] == ["tool_calls", "message_creation"]


@pytest.mark.parametrize("strange", ["a\ud83db", "a\0b", "\ud83d", "\0"], ids=ascii)
def test_characters_that_no_database_holds_do_not_fail_a_run(world: World, streamed: bool, strange: str) -> None:
    answer = script.chunk({"content": strange}), script.chunk({"content": " at noon."}), chunk({}, finish="stop")
    world.model_server.reply(ascii_events(*answer))

    ended = world.run(streamed=streamed)

    assert ended.run.status == "completed", ended.run.last_error
    assert ended.said[0].value.endswith("at noon.")
    assert not any("\ud800" <= c <= "\udfff" for c in ended.said[0].value)


def test_a_character_whose_halves_come_apart_is_whole(world: World, streamed: bool) -> None:
    halves = chunk({"content": "At noon \ud83d"}), chunk({"content": "\ude00!"}), chunk({}, finish="stop")
    world.model_server.reply(ascii_events(*halves))

    assert [text.value for text in world.run(streamed=streamed).said] == ["At noon 😀!"]


def ascii_events(*chunks: Any) -> Reply:
    """Chunks as servers in Python write them: a half character stays a half."""

    return events([json.dumps(each) for each in chunks])
