"""The run loop against a real database and a scripted model: every reply, and every end a run can come to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from localassist import clock
from localassist.errors import ContextLengthError, ModelError
from localassist.ids import new_id
from localassist.llm.base import ChatRequest, Delta, ModelInfo, ModelUsage, ToolCallDelta
from localassist.llm.scripted import ScriptedModel, calls, says
from localassist.retrieval.model import Hit, Page
from localassist.runs.events import EventLog, event
from localassist.runs.loop import RunExecutor
from localassist.runs.request import LoopLimits
from localassist.store import assistants, events, jobs, messages, runs, threads
from localassist.store.database import Database
from localassist.store.jobs import Fence
from localassist.tools.base import ToolUnusableError
from localassist.tools.file_search import FileSearchCaller
from localassist.types.assistant import Assistant
from localassist.types.message import FileCitationAnnotation, Message, Text, TextContentBlock
from localassist.types.run import Run, RunStatus
from localassist.types.run_step import FileSearchToolCall, FunctionToolCall, ToolCallsStepDetails
from localassist.types.thread import Thread

HIT = Hit(
    store_id="vs_1",
    file_id="file-a",
    file_name="handbook.pdf",
    attributes={},
    text="Staff get 28 days of leave. Unused days lapse on 31 March.",
    start=10,
    end=68,
    score=0.9,
    pages=[Page(2, 0, 500)],
)
FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
STEP_DELTA = "thread.run.step.delta"
AWAITING: frozenset[RunStatus] = frozenset({"requires_action"})
QUEUED: frozenset[RunStatus] = frozenset({"queued"})
RUNNING: frozenset[RunStatus] = frozenset({"in_progress"})
SEARCH: dict[str, Any] = {"type": "file_search"}


@dataclass
class Shelf:
    """Finds what it was given, and remembers the queries."""

    hits: Sequence[Hit] = (HIT,)
    queries: list[Sequence[str]] = field(default_factory=list)
    broken: Exception | None = None

    async def __call__(self, run: Run, queries: Sequence[str], *, limit: int, score_threshold: float) -> Sequence[Hit]:
        self.queries.append(queries)
        if self.broken:
            raise self.broken
        return self.hits


async def no_image(file_id: str) -> None:
    return None


@dataclass
class World:
    """One thread with a question, an assistant, and an engine to carry out a run."""

    db: Database
    model: ScriptedModel
    shelf: Shelf = field(default_factory=Shelf)
    limits: LoopLimits = field(default_factory=LoopLimits)
    run_id: str = ""
    thread_id: str = ""

    def __post_init__(self) -> None:
        self.log = EventLog(self.db)
        self.executor = RunExecutor(
            db=self.db,
            log=self.log,
            model=self.model,
            tools=[FileSearchCaller(self.shelf)],
            read_image=no_image,
            limits=self.limits,
        )

    async def new_run(self, *tools: dict[str, Any], question: str = "How many days?", **fields: Any) -> Run:
        now = clock.now_s()
        assistant = Assistant(id=new_id("asst"), created_at=now, model="gpt-4o")
        thread = Thread(id=new_id("thread"), created_at=now)
        asked = Message(
            id=new_id("msg"),
            created_at=now,
            thread_id=thread.id,
            role="user",
            content=[TextContentBlock(text=Text(value=question))],
        )
        run = Run.model_validate(
            {
                "id": new_id("run"),
                "created_at": now,
                "assistant_id": assistant.id,
                "thread_id": thread.id,
                "model": "gpt-4o",
                "tools": list(tools),
                "expires_at": now + 600,
                **fields,
            }
        )

        def write(conn: Any) -> None:
            assistants.insert(conn, assistant)
            threads.insert(conn, thread)
            messages.insert(conn, asked)
            runs.insert(conn, run)
            shown = run.model_dump()
            opened = [event("thread.run.created", shown), event("thread.run.queued", shown)]
            events.append(conn, run.id, 1, opened, attempt=0, fence=None)

        await self.db.write(write)
        self.run_id, self.thread_id = run.id, thread.id
        return run

    async def claim(self) -> tuple[Run, Fence]:
        claimed = await self.db.write(lambda conn: jobs.claim_run(conn, new_id("worker"), clock.now(), 10))
        assert claimed is not None
        return claimed[0], claimed[1]

    async def carry_out(self) -> Run:
        await self.executor.execute(*await self.claim())
        return await self.state()

    async def ask(self, *tools: dict[str, Any], **fields: Any) -> Run:
        await self.new_run(*tools, **fields)
        return await self.carry_out()

    async def state(self) -> Run:
        run = await self.db.read(lambda conn: runs.by_id(conn, self.run_id))
        assert run is not None
        return run

    async def answers(self) -> list[Message]:
        written = await self.db.read(lambda conn: messages.all_of(conn, self.thread_id))
        return [m for m in written if m.role == "assistant"]

    async def text(self) -> str:
        (answer,) = await self.answers()
        (block,) = answer.content
        assert isinstance(block, TextContentBlock)
        return block.text.value

    async def steps(self) -> list[Any]:
        return await self.db.read(lambda conn: runs.steps_of(conn, self.run_id))

    async def told(self) -> list[str]:
        """Names of all events, deltas that follow one another as one; their numbers have no gap."""
        stored = await self.db.read(lambda conn: events.after(conn, self.run_id, 0))
        assert [e.seq for e in stored] == list(range(1, len(stored) + 1))
        names = [e.name.removeprefix("thread.") for e in stored]
        return [n for i, n in enumerate(names) if not n.endswith("delta") or names[i - 1] != n]

    async def payloads(self, name: str) -> list[Any]:
        stored = await self.db.read(lambda conn: events.after(conn, self.run_id, 0))
        return [orjson.loads(e.data) for e in stored if e.name == name]


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def world(database: Database, model: ScriptedModel) -> World:
    return World(database, model)


async def test_a_plain_answer_has_the_recorded_order_of_events(world: World) -> None:
    world.model.add(says("Hello there, you.", usage=ModelUsage(38, 4)))

    run = await world.ask()

    assert await world.told() == [
        "run.created",
        "run.queued",
        "run.in_progress",
        "run.step.created",
        "run.step.in_progress",
        "message.created",
        "message.in_progress",
        "message.delta",
        "message.completed",
        "run.step.completed",
        "run.completed",
    ]
    assert (run.status, run.expires_at, run.last_error) == ("completed", None, None)
    assert await world.text() == "Hello there, you."
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (38, 4, 42)


async def test_deltas_rebuild_the_message_and_only_the_first_has_an_empty_list_of_annotations(world: World) -> None:
    world.model.add(says("one two three"))

    await world.ask()

    parts = [d["delta"]["content"][0] for d in await world.payloads("thread.message.delta")]
    assert "".join(part["text"]["value"] for part in parts) == "one two three"
    assert [part["text"].get("annotations") for part in parts] == [[], None, None]
    assert {part["index"] for part in parts} == {0}


async def test_what_looked_like_a_mark_at_the_end_is_shown_after_all(world: World) -> None:
    world.model.add(says("an open bracket 【"))

    await world.ask()

    assert await world.text() == "an open bracket 【"
    parts = [d["delta"]["content"][0]["text"]["value"] for d in await world.payloads("thread.message.delta")]
    assert "".join(parts) == "an open bracket 【"


async def test_a_search_gives_sources_and_its_marks_become_citations(world: World) -> None:
    world.model.add(
        calls(("file_search", {"queries": ["days of leave"]}), usage=ModelUsage(260, 20)),
        says("You get 28 days【4:0†handbook.pdf】, not 30【4:9†x】.", usage=ModelUsage(284, 30)),
    )

    run = await world.ask(SEARCH)

    (answer,) = await world.answers()
    text = answer.content[0].text  # type: ignore[union-attr]
    assert text.value == "You get 28 days【4:0†handbook.pdf】, not 30."
    (citation,) = text.annotations
    assert isinstance(citation, FileCitationAnnotation)
    assert text.value[citation.start_index : citation.end_index] == "【4:0†handbook.pdf】"
    assert citation.file_citation.file_id == "file-a"
    assert citation.file_citation.quote == "Staff get 28 days of leave."
    assert (citation.file_citation.page, citation.file_citation.start_index) == (2, 10)
    assert world.shelf.queries == [["days of leave"]]
    assert run.usage is not None
    assert run.usage.total_tokens == 280 + 314
    search, message = await world.steps()
    assert (search.usage.total_tokens, message.usage.total_tokens) == (280, 314)
    assert search.step_details.tool_calls[0].file_search.results[0].score == 0.9


async def test_a_search_is_told_in_the_recorded_order(world: World) -> None:
    world.model.add(calls(("file_search", {"queries": ["q"]})), says("done"))

    await world.ask(SEARCH)

    assert (await world.told())[3:9] == [
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.step.completed",
        "run.step.created",
        "run.step.in_progress",
    ]
    (delta,) = await world.payloads("thread.run.step.delta")
    (call,) = delta["delta"]["step_details"]["tool_calls"]
    assert (call["index"], call["type"], call["file_search"]["results"]) == (0, "file_search", [])


async def test_the_second_prompt_shows_the_model_its_call_and_the_numbered_passages(world: World) -> None:
    world.model.add(calls(("file_search", {"queries": ["q"]}), said="Let me look."), says("done"))

    await world.ask(SEARCH, instructions="Be brief.")

    messages_sent = world.model.requests[1].messages
    assert [m.role for m in messages_sent] == ["system", "user", "assistant", "tool"]
    assert messages_sent[0].content == "Be brief."
    assert messages_sent[2].content == "Let me look."
    assert str(messages_sent[3].content).startswith("【4:0†handbook.pdf】 (page 2)\nStaff get 28 days")
    assert messages_sent[3].tool_call_id == messages_sent[2].tool_calls[0].id


async def test_a_second_search_has_marks_of_its_own(world: World) -> None:
    world.model.add(
        calls(("file_search", {"queries": ["a"]})), calls(("file_search", {"queries": ["b"]})), says("x【5:0†y】")
    )

    await world.ask(SEARCH)

    assert await world.text() == "x【5:0†y】"


@pytest.mark.parametrize("arguments", ['{"queries": [', "[]", "{}", '{"queries": []}', '{"queries": 7}'])
async def test_arguments_that_cannot_be_used_are_told_to_the_model_which_tries_again(
    world: World, arguments: str
) -> None:
    world.model.add(
        calls(("file_search", arguments)), calls(("file_search", {"queries": ["q"]})), says("28【5:0†handbook.pdf】")
    )

    run = await world.ask(SEARCH)

    assert run.status == "completed"
    assert "Call" in str(world.model.requests[1].messages[-1].content)
    assert await world.text() == "28【5:0†handbook.pdf】"


async def test_an_unknown_tool_is_told_to_the_model(world: World) -> None:
    world.model.add(calls(("browse", {"url": "x"})), says("I cannot browse."))

    run = await world.ask(SEARCH)

    assert run.status == "completed"
    assert "no tool 'browse'" in str(world.model.requests[1].messages[-1].content)
    assert [step.type for step in await world.steps()] == ["message_creation"]


async def test_the_clients_functions_stop_the_run_and_their_outputs_go_on(world: World) -> None:
    world.model.add(calls(("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})), says("Cold and warm."))

    run = await world.ask(FUNCTION)

    assert run.status == "requires_action"
    assert run.usage is None
    assert run.required_action is not None
    waiting = run.required_action.submit_tool_outputs.tool_calls
    assert [orjson.loads(c.function.arguments)["city"] for c in waiting] == ["Oslo", "Rome"]
    assert (await world.told())[3:] == [
        "run.step.created",
        "run.step.in_progress",
        "run.step.delta",
        "run.requires_action",
    ]

    shown = [d["delta"]["step_details"]["tool_calls"][0]["index"] for d in await world.payloads(STEP_DELTA)]
    assert shown == [0, 0, 0, 1, 1, 1]

    await submit(world, run, ["2 °C", "21 °C"])
    run = await world.carry_out()

    assert run.status == "completed"
    assert await world.text() == "Cold and warm."
    assert [m.content for m in world.model.requests[1].messages if m.role == "tool"] == ["2 °C", "21 °C"]
    assert run.usage is not None
    assert run.usage.completion_tokens == 2 + 3  # the tool step's usage was kept while the client was busy


async def submit(world: World, run: Run, outputs: Sequence[str]) -> None:
    """Do what `resources.runs` does with outputs, as far as the loop can tell."""
    from localassist.runs.lifecycle import move

    (step,) = await world.steps()
    records = [
        c.model_copy(update={"function": c.function.model_copy(update={"output": out})})
        for c, out in zip(step.step_details.tool_calls, outputs, strict=True)
    ]
    done = step.model_copy(
        update={"status": "completed", "step_details": ToolCallsStepDetails(tool_calls=list(records))}
    )
    queued = move(run, "queued", at=clock.now_s())

    def write(conn: Any) -> None:
        runs.replace_step(conn, done, None)
        assert runs.change(conn, queued, expected=AWAITING)

    await world.db.write(write)


async def test_arguments_of_functions_stream_while_the_model_writes_them(world: World) -> None:
    world.model.add(calls(("weather", {"city": "Oslo"})))

    await world.ask(FUNCTION)

    fragments = [d["delta"]["step_details"]["tool_calls"][0] for d in await world.payloads("thread.run.step.delta")]
    assert fragments[0]["function"] == {"name": "weather", "arguments": "", "output": None}
    assert all("id" not in f and "name" not in f["function"] for f in fragments[1:])
    assert "".join(f["function"]["arguments"] for f in fragments) == '{"city":"Oslo"}'
    assert {f["index"] for f in fragments} == {0}


async def test_a_search_and_a_function_in_one_turn_are_one_step(world: World) -> None:
    world.model.add(calls(("file_search", {"queries": ["q"]}), ("weather", {"city": "Oslo"})))

    run = await world.ask(SEARCH, FUNCTION)

    assert run.status == "requires_action"
    (step,) = await world.steps()
    function, search = step.step_details.tool_calls
    assert isinstance(function, FunctionToolCall)
    assert isinstance(search, FileSearchToolCall)
    assert search.file_search.results
    assert run.required_action is not None
    assert [c.id for c in run.required_action.submit_tool_outputs.tool_calls] == [function.id]


async def test_a_call_id_that_comes_twice_is_replaced(world: World) -> None:
    world.model.add(calls(("file_search", {"queries": ["a"]})), calls(("file_search", {"queries": ["b"]})), says("x"))

    await world.ask(SEARCH)

    first, second, _ = await world.steps()
    assert first.step_details.tool_calls[0].id == "call_0_file_search"
    assert second.step_details.tool_calls[0].id.startswith("call_")
    assert first.step_details.tool_calls[0].id != second.step_details.tool_calls[0].id


# --- models that fail ---


async def test_a_failed_call_is_made_again_and_the_client_sees_nothing_of_it(world: World) -> None:
    world.model.add(ModelError("busy", code="rate_limit_exceeded", retryable=True, retry_after_s=0.0), says("Hello"))

    run = await world.ask()

    assert run.status == "completed"
    assert len(world.model.requests) == 2
    assert "run.failed" not in await world.told()


async def test_a_call_that_keeps_failing_fails_the_run_with_the_providers_words(world: World) -> None:
    busy = ModelError("Slow down, says the provider", code="rate_limit_exceeded", retryable=True, retry_after_s=0.0)
    world.model.add(busy, busy, busy, busy, busy)

    run = await world.ask()

    assert run.status == "failed"
    assert run.last_error is not None
    assert (run.last_error.code, run.last_error.message) == ("rate_limit_exceeded", "Slow down, says the provider")
    assert run.failed_at is not None
    assert len(world.model.requests) == 4
    assert (await world.told())[-1] == "run.failed"


async def test_an_error_that_cannot_pass_is_not_tried_again(world: World) -> None:
    world.model.add(ModelError("Incorrect API key"), says("never"))

    run = await world.ask()

    assert run.status == "failed"
    assert len(world.model.requests) == 1


async def test_a_reply_cut_in_the_middle_fails_the_run_and_its_message_is_incomplete(world: World) -> None:
    n_calls = 0

    async def cut(request: ChatRequest) -> AsyncIterator[Delta]:
        nonlocal n_calls
        n_calls += 1
        yield Delta("The answer is ")
        raise ModelError("the stream was cut", retryable=True)

    world.model.stream = cut  # type: ignore[method-assign] # the script cannot break off

    run = await world.ask()

    assert (run.status, n_calls) == ("failed", 1)
    (answer,) = await world.answers()
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "run_failed")  # type: ignore[union-attr]
    assert (await world.told())[-3:] == ["message.incomplete", "run.step.failed", "run.failed"]
    (step,) = await world.steps()
    assert step.last_error is not None


async def test_an_empty_answer_fails_the_run(world: World) -> None:
    world.model.add([Delta(finish_reason="stop")])

    run = await world.ask()

    assert run.status == "failed"
    assert run.last_error is not None
    assert "empty answer" in run.last_error.message


async def test_a_fault_of_ours_fails_the_run_without_telling_its_insides(world: World) -> None:
    world.shelf.broken = ZeroDivisionError("secret detail")
    world.model.add(calls(("file_search", {"queries": ["q"]})))

    run = await world.ask(SEARCH)

    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.code == "server_error"
    assert "secret" not in run.last_error.message
    assert [s.status for s in await world.steps()] == ["failed"]


async def test_an_expired_vector_store_fails_the_run(world: World) -> None:
    world.shelf.broken = ToolUnusableError("Vector store vs_1 has expired.")
    world.model.add(calls(("file_search", {"queries": ["q"]})))

    run = await world.ask(SEARCH)

    assert run.last_error is not None
    assert run.last_error.message == "Vector store vs_1 has expired."


async def test_a_model_that_calls_tools_for_ever_is_stopped(database: Database) -> None:
    model = ScriptedModel(*[calls(("file_search", {"queries": ["q"]}))] * 9)
    world = World(database, model, limits=LoopLimits(max_turns=3))

    run = await world.ask(SEARCH)

    assert run.status == "failed"
    assert len(model.requests) == 3
    assert run.last_error is not None
    assert "max_turns" in run.last_error.message


async def test_a_reply_at_its_token_limit_leaves_the_run_incomplete(world: World) -> None:
    world.model.add([Delta("Too lo"), Delta(finish_reason="length", usage=ModelUsage(10, 300))])

    run = await world.ask(max_completion_tokens=300)

    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_completion_tokens"
    (answer,) = await world.answers()
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_tokens"
    assert answer.content[0].text.value == "Too lo"  # type: ignore[union-attr]
    assert (await world.told())[-3:] == ["message.incomplete", "run.step.completed", "run.incomplete"]
    assert world.model.requests[0].max_completion_tokens == 300


async def test_a_question_over_max_prompt_tokens_leaves_the_run_incomplete(world: World) -> None:
    run = await world.ask(question="word " * 400, max_prompt_tokens=256)

    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_prompt_tokens"
    assert world.model.requests == []


# --- models without tools, models with short memories ---


async def test_a_model_without_tools_is_given_the_passages_and_can_still_cite(database: Database) -> None:
    model = ScriptedModel(says("28 days【4:0†handbook.pdf】."), info=ModelInfo(supports_tools=False))
    world = World(database, model)

    run = await world.ask(SEARCH, instructions="Be brief.")

    (request,) = model.requests
    assert run.status == "completed"
    assert request.tools == []
    assert [m.role for m in request.messages] == ["system", "user"]
    assert "Be brief." in str(request.messages[0].content)
    assert "【4:0†handbook.pdf】 (page 2)\nStaff get" in str(request.messages[0].content)
    assert world.shelf.queries == [["How many days?"]]
    (answer,) = await world.answers()
    assert len(answer.content[0].text.annotations) == 1  # type: ignore[union-attr]
    assert [step.type for step in await world.steps()] == ["tool_calls", "message_creation"]


async def test_a_model_that_refuses_tools_is_asked_again_without_and_remembered(world: World) -> None:
    refusal = ModelError("registry.ollama.ai/library/gemma:2b does not support tools", code="invalid_prompt")
    world.model.add(refusal, says("28【4:0†handbook.pdf】"), says("again"))

    run = await world.ask(SEARCH)
    await world.ask(SEARCH)

    assert run.status == "completed"
    assert [bool(r.tools) for r in world.model.requests] == [True, False, False]


async def test_a_prompt_that_was_too_long_is_shortened_and_the_context_remembered(world: World) -> None:
    world.shelf.hits = [HIT] * 20
    world.model.add(
        calls(("file_search", {"queries": ["q"]})),
        ContextLengthError("maximum context length is 400 tokens", max_tokens=900),
        says("short"),
    )

    run = await world.ask(SEARCH)

    assert run.status == "completed"
    refused, accepted = (len(str(r.messages[-1].content)) for r in world.model.requests[1:])
    assert accepted < refused


# --- cancelling, expiry, crashes ---


class Patient:
    """A model that says one word and then waits until it is let go."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.closed = False

    def info(self, model: str) -> ModelInfo:
        return ModelInfo()

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        try:
            yield Delta("One ")
            yield Delta("word")
            self.began.set()
            await asyncio.Event().wait()
        finally:
            self.closed = True

    async def close(self) -> None: ...


async def test_a_cancelled_run_ends_at_once_and_the_model_call_with_it(database: Database) -> None:
    from localassist.runs.lifecycle import move

    model = Patient()
    world = World(database, model)  # type: ignore[arg-type]
    await world.new_run()
    work = asyncio.create_task(world.carry_out())
    await model.began.wait()

    running = await world.state()
    cancelling = move(running, "cancelling", at=clock.now_s())
    assert await world.db.write(lambda conn: runs.change(conn, cancelling, expected=RUNNING))
    world.executor.cancel(world.run_id)
    run = await work

    assert run.status == "cancelled"
    assert model.closed
    (answer,) = await world.answers()
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "run_cancelled"
    assert answer.content[0].text.value == "One word"  # type: ignore[union-attr]
    assert (await world.told())[-4:] == [
        "run.cancelling",
        "message.incomplete",
        "run.step.cancelled",
        "run.cancelled",
    ]


async def test_a_run_that_was_cancelled_while_nobody_held_it_is_ended_by_the_next_worker(world: World) -> None:
    from localassist.runs.lifecycle import move

    await world.new_run()
    _, fence = await world.claim()
    running = move(await world.state(), "in_progress", at=clock.now_s())
    cancelling = move(running, "cancelling", at=clock.now_s())
    await world.db.write(lambda conn: runs.change(conn, running, expected=QUEUED, fence=fence))
    await world.db.write(lambda conn: runs.change(conn, cancelling, expected=RUNNING))
    await world.db.write(lambda conn: conn.exec_driver_sql("UPDATE runs SET lease_until = 1"))

    run = await world.carry_out()

    assert run.status == "cancelled"
    assert (await world.told())[-2:] == ["run.cancelling", "run.cancelled"]


async def test_a_part_that_gives_up_in_time_fails_the_run_and_does_not_expire_it(world: World) -> None:
    world.shelf.broken = TimeoutError("the index was busy")
    world.model.add(calls(("file_search", {"queries": ["q"]})))

    run = await world.ask(SEARCH)

    assert run.status == "failed"
    assert run.last_error is not None
    assert "the index was busy" in run.last_error.message


async def test_a_run_whose_time_is_over_expires(database: Database) -> None:
    model = Patient()
    world = World(database, model)  # type: ignore[arg-type]

    run = await world.ask(expires_at=clock.now_s() + 1)

    assert run.status == "expired"
    assert model.closed
    assert (await world.told())[-3:] == ["message.incomplete", "run.step.expired", "run.expired"]


async def test_a_run_whose_worker_died_goes_on_from_its_recorded_steps(database: Database) -> None:
    searched = ScriptedModel(calls(("file_search", {"queries": ["q"]}), usage=ModelUsage(5, 5)))
    world = World(database, searched)
    await world.new_run(SEARCH)
    patient = Patient()
    world.executor.caller.model = Then(searched, patient)  # type: ignore[assignment]
    work = asyncio.create_task(world.executor.execute(*await world.claim()))
    await patient.began.wait()
    work.cancel()  # what a killed process leaves: a search that is done, and half a message
    await asyncio.gather(work, return_exceptions=True)
    assert [s.status for s in await world.steps()] == ["completed", "in_progress"]

    await database.write(lambda conn: conn.exec_driver_sql("UPDATE runs SET lease_until = 1"))
    second = World(database, ScriptedModel(says("28 days【4:0†handbook.pdf】")))
    second.run_id, second.thread_id = world.run_id, world.thread_id
    run = await second.carry_out()

    assert run.status == "completed"
    assert second.shelf.queries == []  # not searched a second time
    assert await second.text() == "28 days【4:0†handbook.pdf】"
    assert [s.status for s in await second.steps()] == ["completed", "completed"]
    assert run.usage is not None
    assert run.usage.prompt_tokens == 5
    await second.told()


class Then:
    """The first call goes to one model, the others to another."""

    def __init__(self, first: Any, others: Any) -> None:
        self.models = [first]
        self.others = others

    def info(self, model: str) -> ModelInfo:
        return ModelInfo()

    def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        model = self.models.pop() if self.models else self.others
        return model.stream(request)  # type: ignore[no-any-return]


async def test_a_worker_that_lost_its_run_writes_nothing_more(database: Database) -> None:
    patient = Patient()
    world = World(database, patient)  # type: ignore[arg-type]
    await world.new_run(expires_at=clock.now_s() + 2)
    work = asyncio.create_task(world.executor.execute(*await world.claim()))
    await patient.began.wait()

    await database.write(lambda conn: conn.exec_driver_sql("UPDATE runs SET attempt = attempt + 1"))
    await work  # its time ends, and it finds the run in other hands

    assert (await world.state()).status == "in_progress"


# --- following ---


async def test_two_followers_see_the_same_events_one_from_the_middle(world: World) -> None:
    world.model.add(says("a b c d e f"))
    await world.new_run()

    async def names(after: int) -> list[tuple[int, str]]:
        return [(e.seq, e.name) async for batch in world.log.follow(world.run_id, after=after) for e in batch]

    live, late, _ = await asyncio.gather(names(0), names(3), world.carry_out())
    replayed = await names(0)

    assert live == replayed
    assert late == live[3:]
    assert live[-1][1] == "thread.run.completed"


async def test_a_follower_of_a_run_that_was_deleted_comes_to_an_end(world: World) -> None:
    await world.new_run()

    async def count() -> int:
        return sum([len(batch) async for batch in world.log.follow(world.run_id)])

    following = asyncio.create_task(count())
    await asyncio.sleep(0)
    await world.db.write(lambda conn: threads.delete(conn, world.thread_id))

    async with asyncio.timeout(10):
        assert await following in (0, 2)


async def test_fragments_without_an_index_order_still_make_whole_calls(world: World) -> None:
    world.model.add(
        [
            Delta(tool_calls=[ToolCallDelta(1, "call_b", "weather", '{"city":')]),
            Delta(tool_calls=[ToolCallDelta(0, "call_a", "weather", '{"city":"A"}')]),
            Delta(tool_calls=[ToolCallDelta(1, arguments='"B"}')]),
            Delta(finish_reason="tool_calls"),
        ]
    )

    run = await world.ask(FUNCTION)

    assert run.required_action is not None
    waiting = {c.id: c.function.arguments for c in run.required_action.submit_tool_outputs.tool_calls}
    assert waiting == {"call_a": '{"city":"A"}', "call_b": '{"city":"B"}'}
