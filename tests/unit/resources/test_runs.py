"""Runs from their creation to whatever ends them without a worker, and their steps."""

import asyncio
from typing import Any

import orjson
import pytest

from localassist import clock
from localassist.errors import BadRequestError, NotFoundError
from localassist.ids import new_id
from localassist.runs import lifecycle
from localassist.runs.steps import Recorder
from localassist.store import events as event_rows
from localassist.store import runs as run_rows
from localassist.store.jobs import LostLease
from localassist.store.pages import PageQuery
from localassist.types.assistant import AssistantUpdateParams
from localassist.types.common import Usage
from localassist.types.message import MessageCreateParams
from localassist.types.run import (
    FunctionToCall,
    RequiredAction,
    RequiredActionToolCall,
    Run,
    RunCreateParams,
    RunStatus,
    RunUpdateParams,
    SubmitToolOutputs,
    SubmitToolOutputsParams,
    ThreadAndRunCreateParams,
)
from localassist.types.run_step import (
    FileSearch,
    FileSearchResult,
    FileSearchToolCall,
    FunctionCall,
    FunctionToolCall,
    RunStep,
    ToolCallsStepDetails,
)
from localassist.types.vector_store import TextContent
from tests.unit.resources.conftest import World

ASC = PageQuery(order="asc")
FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "weather"}}
SEARCH: dict[str, Any] = {"type": "file_search"}


def outputs(**given: str) -> SubmitToolOutputsParams:
    listed = [{"tool_call_id": call_id, "output": output} for call_id, output in given.items()]
    return SubmitToolOutputsParams.model_validate({"tool_outputs": listed})


async def waiting_run(world: World) -> Run:
    """A run that waits for the outputs of calls `a` and `b`, as the loop leaves it."""
    await world.run(FUNCTION)
    run, fence = await world.claim_run()
    recorder = Recorder(run, fence, await world.log.writer(run.id, fence))
    await recorder.start()
    await recorder.open_tool_step()
    calls = [FunctionToolCall(id=i, function=FunctionCall(name="weather", arguments="{}")) for i in ("a", "b")]
    asked = [RequiredActionToolCall(id=i, function=FunctionToCall(name="weather", arguments="{}")) for i in ("a", "b")]
    action = RequiredAction(submit_tool_outputs=SubmitToolOutputs(tool_calls=asked))
    await recorder.require_action(calls, Usage.of(prompt=3, completion=4), action)
    await recorder._writer.close()
    return await world.runs.retrieve(run.thread_id, run.id)


async def put_into(world: World, run: Run, status: RunStatus) -> None:
    moved = run.model_copy(update={"status": status})
    await world.db.write(lambda conn: run_rows.change(conn, moved, expected=(run.status,)))


# --- creation ---


async def test_a_new_run_is_queued_with_the_recorded_shape(world: World) -> None:
    at = 1_761_861_549
    with clock.frozen(lambda: at):
        run = await world.run()

    shown = run.model_dump()
    assert shown == {
        "id": run.id,
        "object": "thread.run",
        "created_at": at,
        "assistant_id": run.assistant_id,
        "thread_id": run.thread_id,
        "status": "queued",
        "started_at": None,
        "expires_at": at + 600,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o",
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "reasoning_effort": None,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": None,
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
    assert await world.told(run.id) == ["thread.run.created", "thread.run.queued"]
    assert "runs" in world.calls


async def test_a_run_is_a_snapshot_of_its_assistant(world: World) -> None:
    assistant = await world.assistant(FUNCTION, instructions="Be brief.", temperature=0.25, top_p=0.5)
    thread = await world.thread("Hello")

    made = await world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))
    await world.assistants.update(assistant.id, AssistantUpdateParams(instructions="Be long.", tools=[], model="m"))
    run = await world.runs.retrieve(thread.id, made.id)

    assert run == made
    assert (run.instructions, run.temperature, run.top_p) == ("Be brief.", 0.25, 0.5)
    assert run.tools == assistant.tools


@pytest.mark.parametrize(
    ("own", "given", "instructions"),
    [
        ("A", {"additional_instructions": "B"}, "A\nB"),
        (None, {"additional_instructions": "B"}, "B"),
        ("A", {"instructions": "C", "additional_instructions": "B"}, "C\nB"),
        ("A", {"instructions": ""}, ""),
        ("A", {}, "A"),
    ],
)
async def test_instructions_are_replaced_and_added_to(
    world: World, own: str | None, given: dict[str, str], instructions: str
) -> None:
    assistant, thread = await world.assistant(instructions=own), await world.thread("Hello")

    run = await world.runs.create(thread.id, RunCreateParams.model_validate({"assistant_id": assistant.id, **given}))

    assert run.instructions == instructions


async def test_a_run_overrides_what_it_names(world: World) -> None:
    overrides = {
        "model": "other",
        "tools": [],
        "temperature": 0.0,
        "top_p": 0.0,
        "metadata": {"k": "v"},
        "max_prompt_tokens": 256,
        "truncation_strategy": {"type": "last_messages", "last_messages": 3},
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
    }

    run = await world.run(
        FUNCTION, **RunCreateParams.model_validate({"assistant_id": "", **overrides}).model_dump(include=set(overrides))
    )

    shown = run.model_dump()
    assert {name: shown[name] for name in overrides} == overrides


async def test_additional_messages_come_before_the_run(world: World) -> None:
    assistant, thread, file = await world.assistant(SEARCH), await world.thread(), await world.file()
    more = {
        "role": "user",
        "content": "And this?",
        "attachments": [{"file_id": file.id, "tools": [{"type": "file_search"}]}],
    }

    params = {"assistant_id": assistant.id, "additional_messages": [more, {"role": "assistant", "content": "Hm."}]}
    await world.runs.create(thread.id, RunCreateParams.model_validate(params))

    listed = (await world.messages.list(thread.id, ASC)).data
    assert [m.role for m in listed] == ["user", "assistant"]
    assert (await world.threads.retrieve(thread.id)).tool_resources.file_search is not None
    assert world.calls[-1] == "ingest"


async def test_a_thread_has_one_active_run_and_takes_no_messages_meanwhile(world: World) -> None:
    run = await world.run()

    with pytest.raises(BadRequestError) as second:
        await world.runs.create(run.thread_id, RunCreateParams(assistant_id=run.assistant_id))
    with pytest.raises(BadRequestError) as message:
        await world.messages.create(run.thread_id, MessageCreateParams(role="user", content="?"))

    assert second.value.message == f"Thread {run.thread_id} already has an active run {run.id}."
    assert message.value.message == f"Can't add messages to {run.thread_id} while a run {run.id} is active."
    assert len((await world.messages.list(run.thread_id, ASC)).data) == 1


async def test_of_runs_that_are_created_at_once_one_is_made(world: World) -> None:
    assistant, thread = await world.assistant(), await world.thread("Hello")
    params = RunCreateParams(assistant_id=assistant.id)

    made = await asyncio.gather(*(world.runs.create(thread.id, params) for _ in range(8)), return_exceptions=True)

    (run,) = [one for one in made if isinstance(one, Run)]
    refused = [one for one in made if isinstance(one, BadRequestError)]
    assert {one.message for one in refused} == {f"Thread {thread.id} already has an active run {run.id}."}
    assert len(refused) == 7


async def test_a_run_needs_a_question_or_instructions(world: World) -> None:
    bare, instructed = await world.assistant(), await world.assistant(instructions="Tell a joke.")
    thread = await world.thread()
    for _ in range(30):
        await world.messages.create(thread.id, MessageCreateParams(role="assistant", content="Hm."))

    with pytest.raises(BadRequestError, match="requires a Thread with a user message or an assistant") as caught:
        await world.runs.create(thread.id, RunCreateParams(assistant_id=bare.id))
    run = await world.runs.create(thread.id, RunCreateParams(assistant_id=instructed.id))

    assert (caught.value.code, caught.value.param) == ("invalid_thread", None)
    assert run.status == "queued"


async def test_a_question_far_back_counts(world: World) -> None:
    thread, assistant = await world.thread("Why?"), await world.assistant()
    for _ in range(30):
        await world.messages.create(thread.id, MessageCreateParams(role="assistant", content="Hm."))

    run = await world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))

    assert run.status == "queued"


async def test_a_run_with_the_interpreter_is_refused_in_plain_words(world: World) -> None:
    with pytest.raises(BadRequestError, match="has no code interpreter") as caught:
        await world.run({"type": "code_interpreter"})

    assert caught.value.param == "tools"


async def test_the_choice_of_a_tool_that_is_not_there_is_refused(world: World) -> None:
    chosen = RunCreateParams.model_validate(
        {"assistant_id": "", "tool_choice": {"type": "function", "function": {"name": "rain"}}}
    ).tool_choice

    with pytest.raises(BadRequestError, match="'tool_choice' names 'rain'"):
        await world.run(FUNCTION, tool_choice=chosen)


async def test_a_run_puts_off_the_expiry_of_its_stores(world: World) -> None:
    store = await world.store(expires_after={"anchor": "last_active_at", "days": 1})
    assistant = await world.assistant(SEARCH, tool_resources={"file_search": {"vector_store_ids": [store.id]}})
    thread = await world.thread("Hello")

    later = clock.now_s() + 3600
    with clock.frozen(lambda: later):
        await world.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id))

    used = await world.vector_stores.retrieve(store.id)
    assert (used.last_active_at, used.expires_at) == (later, later + 86_400)


async def test_thread_and_run_are_made_together_and_the_thread_is_told_first(world: World) -> None:
    assistant, store = await world.assistant(SEARCH), await world.store()
    body = {
        "assistant_id": assistant.id,
        "thread": {"messages": [{"role": "user", "content": "Hello"}], "metadata": {"a": "b"}},
        "tool_resources": {"file_search": {"vector_store_ids": [store.id]}},
    }

    thread, run = await world.runs.create_thread_and_run(ThreadAndRunCreateParams.model_validate(body))

    assert await world.told(run.id) == ["thread.created", "thread.run.created", "thread.run.queued"]
    assert (run.thread_id, thread.metadata) == (thread.id, {"a": "b"})
    assert run.tool_resources.model_dump() == {"file_search": {"vector_store_ids": [store.id]}}


async def test_a_thread_whose_run_is_refused_is_not_made(world: World) -> None:
    assistant, file = await world.assistant(), await world.file()
    body = {
        "assistant_id": assistant.id,
        "thread": {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": [file.id]}]}}},
    }

    with pytest.raises(BadRequestError, match="requires a Thread with a user message"):
        await world.runs.create_thread_and_run(ThreadAndRunCreateParams.model_validate(body))

    assert (await world.vector_stores.list(PageQuery())).data == []


async def test_runs_of_other_threads_are_not_found(world: World) -> None:
    run, other = await world.run(), await world.thread()

    for call in (
        world.runs.retrieve(other.id, run.id),
        world.runs.update(other.id, run.id, RunUpdateParams(metadata={})),
        world.runs.cancel(other.id, run.id),
        world.runs.submit_tool_outputs(other.id, run.id, outputs()),
        world.run_steps.list(other.id, run.id, ASC, with_content=False),
    ):
        with pytest.raises(NotFoundError, match=f"No run found with id '{run.id}'."):
            await call
    with pytest.raises(NotFoundError, match=r"No thread found with id 'thread_none'\."):
        await world.runs.retrieve("thread_none", run.id)
    with pytest.raises(NotFoundError, match=r"No assistant found with id 'asst_none'\."):
        await world.runs.create(other.id, RunCreateParams(assistant_id="asst_none"))


async def test_metadata_changes_while_the_run_goes_on(world: World) -> None:
    run = await world.run()
    claimed, fence = await world.claim_run()

    changed = await world.runs.update(run.thread_id, run.id, RunUpdateParams(metadata={"k": "v"}))
    recorder = Recorder(claimed, fence, await world.log.writer(run.id, fence))
    await recorder.start()

    assert changed.metadata == {"k": "v"}
    assert (await world.runs.retrieve(run.thread_id, run.id)).metadata == {"k": "v"}
    assert (await world.runs.list(run.thread_id, ASC)).data[0].status == "in_progress"


# --- outputs of functions ---


async def test_outputs_complete_the_step_and_queue_the_run(world: World) -> None:
    waiting = await waiting_run(world)
    before = len(await world.told(waiting.id))
    world.calls.clear()

    run, seq = await world.runs.submit_tool_outputs(waiting.thread_id, waiting.id, outputs(b="warm", a="cold"))

    (step,) = (await world.run_steps.list(run.thread_id, run.id, ASC, with_content=False)).data
    assert (run.status, run.required_action, seq) == ("queued", None, before)
    assert (step["status"], step["expires_at"]) == ("completed", None)
    assert [c["function"]["output"] for c in step["step_details"]["tool_calls"]] == ["cold", "warm"]
    assert step["usage"]["total_tokens"] == 7
    assert (await world.told(run.id))[before:] == ["thread.run.step.completed", "thread.run.queued"]
    assert "runs" in world.calls
    resumed, _ = await world.claim_run()
    assert resumed.id == run.id


async def test_a_stream_of_what_follows_begins_behind_the_action(world: World) -> None:
    waiting = await waiting_run(world)
    first = [e.name async for batch in world.runs.follow(waiting, 0) for e in batch]

    run, seq = await world.runs.submit_tool_outputs(waiting.thread_id, waiting.id, outputs(a="1", b="2"))
    await world.runs.cancel(run.thread_id, run.id)
    second = [e.name async for batch in world.runs.follow(run, seq) for e in batch]

    assert first[-1] == "thread.run.requires_action"
    assert second == ["thread.run.step.completed", "thread.run.queued", "thread.run.cancelled"]


@pytest.mark.parametrize(
    ("given", "got"),
    [({"a": "1"}, "['a']"), ({"a": "1", "c": "2"}, "['a', 'c']"), ({}, "[]")],
)
async def test_outputs_of_other_calls_are_refused(world: World, given: dict[str, str], got: str) -> None:
    waiting = await waiting_run(world)

    with pytest.raises(BadRequestError) as caught:
        await world.runs.submit_tool_outputs(waiting.thread_id, waiting.id, outputs(**given))

    assert caught.value.message == f"Expected tool outputs for call_ids ['a', 'b'], got {got}"
    assert (await world.runs.retrieve(waiting.thread_id, waiting.id)).status == "requires_action"


async def test_an_output_that_is_given_twice_is_refused(world: World) -> None:
    waiting = await waiting_run(world)
    twice = [{"tool_call_id": i, "output": ""} for i in ("a", "b", "b")]

    with pytest.raises(BadRequestError, match=r"got \['a', 'b', 'b'\]"):
        await world.runs.submit_tool_outputs(
            waiting.thread_id, waiting.id, SubmitToolOutputsParams.model_validate({"tool_outputs": twice})
        )


async def test_of_outputs_that_come_twice_at_once_one_is_taken(world: World) -> None:
    waiting = await waiting_run(world)
    submit = [world.runs.submit_tool_outputs(waiting.thread_id, waiting.id, outputs(a=x, b=x)) for x in "12"]

    done = await asyncio.gather(*submit, return_exceptions=True)

    (refused,) = [one for one in done if isinstance(one, BadRequestError)]
    assert refused.message == 'Runs in status "queued" do not accept tool outputs.'
    assert (await world.told(waiting.id)).count("thread.run.queued") == 2


async def test_a_run_that_does_not_wait_takes_no_outputs(world: World) -> None:
    run = await world.run()

    with pytest.raises(BadRequestError, match=r'Runs in status "queued" do not accept tool outputs\.'):
        await world.runs.submit_tool_outputs(run.thread_id, run.id, outputs(a="1"))


async def test_outputs_that_come_too_late_are_refused(world: World) -> None:
    waiting = await waiting_run(world)

    later = clock.now() + 601
    with clock.frozen(lambda: later), pytest.raises(BadRequestError, match='in status "expired" do not accept'):
        await world.runs.submit_tool_outputs(waiting.thread_id, waiting.id, outputs(a="1", b="2"))


# --- the ends ---


async def test_a_queued_run_is_cancelled_at_once_and_its_worker_finds_out(world: World) -> None:
    run = await world.run()
    claimed, fence = await world.claim_run()
    recorder = Recorder(claimed, fence, await world.log.writer(run.id, fence))

    cancelled = await world.runs.cancel(run.thread_id, run.id)

    with pytest.raises(LostLease):
        await recorder.start()
    assert (cancelled.status, cancelled.expires_at, cancelled.usage) == ("cancelled", None, None)
    assert cancelled.cancelled_at is not None
    assert await world.told(run.id) == ["thread.run.created", "thread.run.queued", "thread.run.cancelled"]


async def test_a_waiting_run_is_cancelled_with_its_step(world: World) -> None:
    waiting = await waiting_run(world)

    run = await world.runs.cancel(waiting.thread_id, waiting.id)

    (step,) = (await world.run_steps.list(run.thread_id, run.id, ASC, with_content=False)).data
    assert (run.status, run.required_action) == ("cancelled", None)
    assert run.usage is not None
    assert run.usage.total_tokens == 7
    assert (step["status"], step["expires_at"], step["cancelled_at"]) == ("cancelled", None, run.cancelled_at)
    assert (await world.told(run.id))[-2:] == ["thread.run.step.cancelled", "thread.run.cancelled"]
    await world.messages.create(run.thread_id, MessageCreateParams(role="user", content="Next"))


async def test_a_run_under_way_is_cancelling_and_its_worker_is_told(world: World) -> None:
    run = await world.run()
    claimed, fence = await world.claim_run()
    await Recorder(claimed, fence, await world.log.writer(run.id, fence)).start()

    once = await world.runs.cancel(run.thread_id, run.id)
    twice = await world.runs.cancel(run.thread_id, run.id)

    assert (once.status, once.cancelled_at) == ("cancelling", None)
    assert twice == once
    assert f"stop {run.id}" in world.calls
    assert await world.told(run.id) == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]


@pytest.mark.parametrize("status", sorted(lifecycle.TERMINAL))
async def test_a_run_that_has_ended_cannot_be_cancelled(world: World, status: RunStatus) -> None:
    run = await world.run()
    await put_into(world, run, status)

    with pytest.raises(BadRequestError, match=f"Cannot cancel run with status '{status}'."):
        await world.runs.cancel(run.thread_id, run.id)


async def test_runs_that_wait_too_long_expire_with_their_steps(world: World) -> None:
    waiting = await waiting_run(world)
    queued, busy = await world.run(), await world.run()
    await put_into(world, busy, "in_progress")

    early = await world.runs.expire_overdue()
    later = clock.now() + 601
    with clock.frozen(lambda: later):
        n_expired = await world.runs.expire_overdue()

    assert (early, n_expired) == (0, 2)
    assert (await world.told(waiting.id))[-2:] == ["thread.run.step.expired", "thread.run.expired"]
    assert (await world.told(queued.id))[-1] == "thread.run.expired"
    assert (await world.runs.retrieve(busy.thread_id, busy.id)).status == "in_progress"
    (step,) = (await world.run_steps.list(waiting.thread_id, waiting.id, ASC, with_content=False)).data
    assert step["status"] == "expired"
    told = await world.db.read(lambda conn: event_rows.after(conn, waiting.id, 0))
    assert orjson.loads(told[-1].data)["expires_at"] is None


# --- steps ---


async def test_the_text_of_results_is_shown_on_request_only(world: World) -> None:
    run = await world.run(SEARCH)
    result = FileSearchResult(file_id="file-a", file_name="a", score=0.5, content=[TextContent(text="x")])
    call = FileSearchToolCall(id="call_1", file_search=FileSearch(results=[result]))
    step = RunStep(
        id=new_id("step"),
        created_at=1,
        run_id=run.id,
        assistant_id=run.assistant_id,
        thread_id=run.thread_id,
        type="tool_calls",
        step_details=ToolCallsStepDetails(tool_calls=[call]),
    )
    await world.db.write(lambda conn: run_rows.insert_step(conn, step))

    bare = await world.run_steps.retrieve(run.thread_id, run.id, step.id, with_content=False)
    full = await world.run_steps.list(run.thread_id, run.id, ASC, with_content=True)

    assert "content" not in bare["step_details"]["tool_calls"][0]["file_search"]["results"][0]
    assert full.data[0]["step_details"]["tool_calls"][0]["file_search"]["results"][0]["content"] == [
        {"type": "text", "text": "x"}
    ]
    assert (full.first_id, full.last_id, full.has_more) == (step.id, step.id, False)
    with pytest.raises(NotFoundError, match=r"No run step found with id 'step_123'\."):
        await world.run_steps.retrieve(run.thread_id, run.id, "step_123", with_content=False)
