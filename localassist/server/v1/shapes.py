"""Objects and events of API version 2, as version 1 showed them: exactly the keys that version 1 knew.

Source: published OpenAPI document of version 1 (openai/openai-openapi, commit a20659d).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import orjson

from localassist.runs.events import Event

JSON = dict[str, Any]

_ASSISTANT: Final = ("id", "object", "created_at", "name", "description", "model", "instructions", "tools")
_THREAD: Final = ("id", "object", "created_at", "metadata")
_MESSAGE: Final = (
    *("id", "object", "created_at", "thread_id", "status", "incomplete_details", "completed_at", "incomplete_at"),
    *("role", "content", "assistant_id", "run_id"),
)
_RUN: Final = (
    *("id", "object", "created_at", "assistant_id", "thread_id", "status", "started_at", "expires_at", "cancelled_at"),
    *("failed_at", "completed_at", "required_action", "last_error", "model", "instructions", "tools"),
)
_RUN_LIMITS: Final = (
    *("temperature", "top_p", "max_completion_tokens", "max_prompt_tokens", "truncation_strategy"),
    *("incomplete_details", "usage", "response_format", "tool_choice"),
)
_STEP: Final = (
    *("id", "object", "created_at", "run_id", "assistant_id", "thread_id", "type", "status", "cancelled_at"),
    *("completed_at", "failed_at", "last_error"),
)
_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def shown_assistant(assistant: Mapping[str, Any], file_ids: Sequence[str]) -> JSON:
    """Show an assistant with its files."""
    shown = _only(assistant, _ASSISTANT)
    shown["tools"] = [shown_tool(tool) for tool in assistant["tools"]]
    return shown | {"file_ids": list(file_ids), "metadata": assistant["metadata"]}


def shown_tool(tool: Mapping[str, Any]) -> JSON:
    """Show a tool without the options that version 1 did not know."""
    match tool["type"]:
        case "file_search":
            return {"type": "retrieval"}
        case "function":
            function = tool["function"]
            shown = {k: function[k] for k in ("name", "description", "parameters") if function.get(k) is not None}
            return {"type": "function", "function": shown}
        case kind:
            return {"type": kind}


def shown_thread(thread: Mapping[str, Any]) -> JSON:
    """Show a thread."""
    return _only(thread, _THREAD)


def shown_message(message: Mapping[str, Any]) -> JSON:
    """Show a message; all its fields, over REST too."""
    shown = _only(message, _MESSAGE)
    shown["content"] = [_part(part) for part in message["content"]]
    file_ids = list(dict.fromkeys(attachment["file_id"] for attachment in message["attachments"]))
    return shown | {"file_ids": file_ids, "metadata": message["metadata"]}


def shown_run(run: Mapping[str, Any], file_ids: Sequence[str]) -> JSON:
    """Show a run with the files of its assistant.

    Version 1 had no status `incomplete`, and its programs would wait for ever for one that they know: such a run is
    `completed`, and its `incomplete_details` say why it ended.
    """
    shown = _only(run, _RUN)
    if run["status"] == "incomplete":
        shown["status"] = "completed"
    shown["tools"] = [shown_tool(tool) for tool in run["tools"]]
    shown |= {"file_ids": list(file_ids), "metadata": run["metadata"]} | _only(run, _RUN_LIMITS)
    shown["usage"] = _usage(run["usage"])
    choice = run["tool_choice"]
    if isinstance(choice, dict) and choice["type"] == "file_search":
        shown["tool_choice"] = {"type": "retrieval"}
    return shown


def shown_step(step: Mapping[str, Any]) -> JSON:
    """Show a step of a run."""
    shown = _only(step, _STEP)
    return shown | {
        "expired_at": step["expires_at"] if step["status"] == "expired" else None,
        "step_details": _details(step["step_details"]),
        "metadata": {},
        "usage": _usage(step["usage"]),
    }


def shown_message_delta(delta: Mapping[str, Any]) -> JSON:
    """Show what a message has more."""
    change = delta["delta"]
    parts = [_part(part) for part in change.get("content") or ()]
    return {**delta, "delta": {**change, "content": parts}}


def shown_step_delta(delta: Mapping[str, Any]) -> JSON:
    """Show what a step has more."""
    change = delta["delta"]
    return {**delta, "delta": {**change, "step_details": _details(change["step_details"])}}


async def shown_events(
    events: AsyncIterator[Sequence[Event]], file_ids: Sequence[str]
) -> AsyncIterator[Sequence[Event]]:
    """Show the events of a run whose assistant has these files."""
    source: Any = events  # an asynchronous generator, which has to be closed
    async with aclosing(source):
        async for batch in source:
            yield [shown_event(event, file_ids) for event in batch]


def shown_event(event: Event, file_ids: Sequence[str]) -> Event:
    """Show one event."""
    show = _shower(event.name, file_ids)
    if show is None:
        return event
    name = "thread.run.completed" if event.name == "thread.run.incomplete" else event.name
    return Event(event.seq, name, orjson.dumps(show(orjson.loads(event.data))).decode())


def _shower(name: str, file_ids: Sequence[str]) -> Callable[[Mapping[str, Any]], JSON] | None:
    if name == "thread.message.delta":
        return shown_message_delta
    if name == "thread.run.step.delta":
        return shown_step_delta
    if name.startswith("thread.message."):
        return shown_message
    if name.startswith("thread.run.step."):
        return shown_step
    if name.startswith("thread.run."):
        return lambda run: shown_run(run, file_ids)
    return shown_thread if name == "thread.created" else None


def _part(part: Mapping[str, Any]) -> JSON:
    """Show a part of a message, or of its delta. An image elsewhere is its address: version 1 had only files."""
    index = _only(part, ("index",)) if "index" in part else {}
    match part["type"]:
        case "text":
            text = part["text"]
            annotations = [_annotation(each) for each in text.get("annotations") or ()]
            return {**index, "type": "text", "text": {**text, "annotations": annotations}}
        case "image_file":
            return {**index, "type": "image_file", "image_file": {"file_id": part["image_file"]["file_id"]}}
        case _:
            return {**index, "type": "text", "text": {"value": part["image_url"]["url"], "annotations": []}}


def _annotation(annotation: Mapping[str, Any]) -> JSON:
    citation = annotation.get("file_citation")
    if citation is None:
        return dict(annotation)
    return {
        **annotation,
        "file_citation": {"file_id": citation["file_id"], "quote": citation.get("quote") or ""},
    }


def _details(details: Mapping[str, Any]) -> JSON:
    if details["type"] != "tool_calls":
        return dict(details)
    return {**details, "tool_calls": [_call(call) for call in details["tool_calls"]]}


def _call(call: Mapping[str, Any]) -> JSON:
    if call["type"] != "file_search":
        return dict(call)
    return _only(call, [k for k in ("index", "id") if k in call]) | {"type": "retrieval", "retrieval": {}}


def _usage(usage: Mapping[str, Any] | None) -> JSON | None:
    return None if usage is None else _only(usage, _USAGE)


def _only(shown: Mapping[str, Any], keys: Sequence[str]) -> JSON:
    return {key: shown[key] for key in keys}
