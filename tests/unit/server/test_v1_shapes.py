"""Objects and events of version 2 as version 1 showed them."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from localassist.runs.events import Event, event
from localassist.server.v1.routes import speaks_v1
from localassist.server.v1.shapes import (
    shown_event,
    shown_events,
    shown_message,
    shown_run,
    shown_step,
    shown_thread,
)
from localassist.types.assistant import (
    FileSearchTool,
    FunctionDefinition,
    FunctionTool,
    NamedToolChoice,
)
from localassist.types.common import Usage
from localassist.types.event import message_delta, step_delta
from localassist.types.message import (
    Attachment,
    FileCitation,
    FileCitationAnnotation,
    ImageFile,
    ImageFileContentBlock,
    ImageURL,
    ImageURLContentBlock,
    Message,
    Text,
    TextContentBlock,
)
from localassist.types.run import IncompleteDetails, Run
from localassist.types.run_step import (
    FileSearch,
    FileSearchResult,
    FileSearchToolCall,
    FunctionCall,
    FunctionToolCall,
    RunStep,
    ToolCallsStepDetails,
)
from localassist.types.thread import Thread

CITED = FileCitationAnnotation(
    text="【4:0†a.txt】",
    start_index=3,
    end_index=13,
    file_citation=FileCitation(file_id="file-1", quote="A fact.", page=2, start_index=7, end_index=14, file_name="a"),
)
CITED_IN_V1: dict[str, Any] = {
    "type": "file_citation",
    "text": "【4:0†a.txt】",
    "start_index": 3,
    "end_index": 13,
    "file_citation": {"file_id": "file-1", "quote": "A fact."},
}
SEARCH = FileSearchToolCall(
    id="call_1",
    file_search=FileSearch(results=[FileSearchResult(file_id="file-1", file_name="a", score=0.5)], queries=["a"]),
)
RUN = Run(
    id="run_1",
    created_at=1,
    assistant_id="asst_1",
    thread_id="thread_1",
    model="gpt-4",
    tools=[
        FileSearchTool(type="file_search"),
        FunctionTool(type="function", function=FunctionDefinition(name="f", strict=True)),
    ],
    tool_choice=NamedToolChoice(type="file_search"),
    usage=Usage.of(prompt=2, completion=3, cached=1),
    metadata={"a": "b"},
)


def step(*calls: Any, **fields: Any) -> RunStep:
    return RunStep(
        id="step_1",
        created_at=1,
        run_id="run_1",
        assistant_id="asst_1",
        thread_id="thread_1",
        type="tool_calls",
        step_details=ToolCallsStepDetails(tool_calls=list(calls)),
        **fields,
    )


def shown(name: Any, payload: dict[str, Any]) -> tuple[str, Any]:
    told = shown_event(Event(7, *event(name, payload)), ["file-1"])
    assert told.seq == 7
    return told.name, json.loads(told.data)


def test_a_thread_has_no_tool_resources() -> None:
    thread = Thread(id="thread_1", created_at=1, metadata={"a": "b"}).model_dump()

    assert shown_thread(thread) == {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": {"a": "b"}}


def test_a_message_shows_the_files_of_its_attachments_and_the_quotes_of_its_citations() -> None:
    image, elsewhere = ImageFile(file_id="file-2"), ImageURL(url="https://example.com/i.png")
    message = Message(
        id="msg_1",
        created_at=1,
        thread_id="thread_1",
        role="user",
        content=[
            TextContentBlock(text=Text(value="It 【4:0†a.txt】", annotations=[CITED])),
            ImageFileContentBlock(image_file=image),
            ImageURLContentBlock(image_url=elsewhere),
        ],
        attachments=[Attachment(file_id="file-1"), Attachment(file_id="file-3"), Attachment(file_id="file-1")],
    )

    assert shown_message(message.model_dump()) == {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": 1,
        "thread_id": "thread_1",
        "status": "completed",
        "incomplete_details": None,
        "completed_at": None,
        "incomplete_at": None,
        "role": "user",
        "content": [
            {"type": "text", "text": {"value": "It 【4:0†a.txt】", "annotations": [CITED_IN_V1]}},
            {"type": "image_file", "image_file": {"file_id": "file-2"}},
            {"type": "text", "text": {"value": "https://example.com/i.png", "annotations": []}},
        ],
        "assistant_id": None,
        "run_id": None,
        "file_ids": ["file-1", "file-3"],
        "metadata": {},
    }


def test_a_citation_without_a_quote_has_an_empty_one() -> None:
    bare = CITED.model_copy(update={"file_citation": FileCitation(file_id="file-1")})
    delta = message_delta("msg_1", [{"index": 0, "type": "text", "text": {"annotations": [bare.model_dump()]}}])

    _, told = shown("thread.message.delta", delta)

    assert told["delta"]["content"][0]["text"]["annotations"][0]["file_citation"] == {"file_id": "file-1", "quote": ""}


def test_a_run_has_the_keys_of_version_1_and_its_words() -> None:
    run = shown_run(RUN.model_dump(), ["file-1"])

    assert list(run) == [
        *("id", "object", "created_at", "assistant_id", "thread_id", "status", "started_at", "expires_at"),
        *("cancelled_at", "failed_at", "completed_at", "required_action", "last_error", "model", "instructions"),
        *("tools", "file_ids", "metadata", "temperature", "top_p", "max_completion_tokens", "max_prompt_tokens"),
        *("truncation_strategy", "incomplete_details", "usage", "response_format", "tool_choice"),
    ]
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    assert run["tools"] == [{"type": "retrieval"}, {"type": "function", "function": function}]
    assert run["tool_choice"] == {"type": "retrieval"}
    assert run["file_ids"] == ["file-1"]
    assert run["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_an_incomplete_run_ends_in_a_status_that_programs_of_version_1_wait_for() -> None:
    details = IncompleteDetails(reason="max_completion_tokens")
    run = RUN.model_copy(update={"status": "incomplete", "incomplete_details": details}).model_dump()

    name, told = shown("thread.run.incomplete", run)

    assert (name, told["status"]) == ("thread.run.completed", "completed")
    assert told["incomplete_details"] == {"reason": "max_completion_tokens"}


def test_a_search_is_a_call_of_retrieval_without_results() -> None:
    function = FunctionToolCall(id="call_2", function=FunctionCall(name="f", arguments="{}", output="1"))

    told = shown_step(step(SEARCH, function).model_dump())

    assert told["step_details"]["tool_calls"] == [
        {"id": "call_1", "type": "retrieval", "retrieval": {}},
        {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}", "output": "1"}},
    ]
    assert "expires_at" not in told
    assert told["metadata"] == {}


def test_a_step_has_expired_only_when_its_status_says_so() -> None:
    waiting = shown_step(step(expires_at=9).model_dump())
    expired = shown_step(step(expires_at=9, status="expired").model_dump())

    assert (waiting["expired_at"], expired["expired_at"]) == (None, 9)


def test_every_kind_of_event_is_shown_as_its_object_is() -> None:
    thread = Thread(id="thread_1", created_at=1).model_dump()
    message = Message(id="msg_1", created_at=1, thread_id="thread_1", role="user", content=[]).model_dump()
    call = {"index": 0, **SEARCH.model_dump()}
    text = {"index": 0, "type": "text", "text": {"value": "Hi", "annotations": [{"index": 0, **CITED.model_dump()}]}}

    assert shown("thread.created", thread) == ("thread.created", shown_thread(thread))
    assert shown("thread.run.queued", RUN.model_dump())[1] == shown_run(RUN.model_dump(), ["file-1"])
    assert shown("thread.run.step.completed", step(SEARCH).model_dump())[1] == shown_step(step(SEARCH).model_dump())
    assert shown("thread.message.created", message)[1] == shown_message(message)
    assert shown("error", {"error": {"message": "m"}}) == ("error", {"error": {"message": "m"}})
    assert shown("thread.run.step.delta", step_delta("step_1", [call]))[1]["delta"] == {
        "step_details": {
            "type": "tool_calls",
            "tool_calls": [{"index": 0, "id": "call_1", "type": "retrieval", "retrieval": {}}],
        }
    }
    assert shown("thread.message.delta", message_delta("msg_1", [text]))[1] == {
        "id": "msg_1",
        "object": "thread.message.delta",
        "delta": {
            "content": [
                {"index": 0, "type": "text", "text": {"value": "Hi", "annotations": [{"index": 0, **CITED_IN_V1}]}}
            ]
        },
    }


async def test_events_that_nobody_reads_to_their_end_are_let_go_of() -> None:
    closed = []

    async def told() -> AsyncIterator[Sequence[Event]]:
        try:
            while True:
                yield [Event(1, *event("thread.run.queued", RUN.model_dump()))]
        finally:
            closed.append(True)

    events: Any = shown_events(told(), ["file-1"])
    first = await anext(events)
    await events.aclose()

    assert json.loads(first[0].data)["file_ids"] == ["file-1"]
    assert closed == [True]


def test_version_1_is_spoken_with_those_who_ask_for_it_and_not_for_version_2() -> None:
    def asked(*lines: bytes) -> bool:
        return speaks_v1({"type": "http", "headers": [(b"openai-beta", line) for line in lines]})

    assert asked(b"assistants=v1")
    assert asked(b"realtime=v1, Assistants=v1")
    assert asked(b"realtime=v1", b"assistants=v1")
    assert not asked(b"assistants=v2")
    assert not asked(b"assistants=v1, assistants=v2")
    assert not asked(b"assistants=v11")
    assert not asked()
    assert not speaks_v1({"type": "http"})
