"""The events of a run's stream: names and payloads."""

from typing import Any, Literal, get_args

EventName = Literal[
    "thread.created",
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.requires_action",
    "thread.run.completed",
    "thread.run.incomplete",
    "thread.run.failed",
    "thread.run.cancelling",
    "thread.run.cancelled",
    "thread.run.expired",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.run.step.delta",
    "thread.run.step.completed",
    "thread.run.step.failed",
    "thread.run.step.cancelled",
    "thread.run.step.expired",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.message.incomplete",
    "error",
]
EVENT_NAMES: frozenset[str] = frozenset(get_args(EventName))
END_OF_STREAM: frozenset[str] = frozenset(
    {
        "thread.run.requires_action",
        "thread.run.completed",
        "thread.run.incomplete",
        "thread.run.failed",
        "thread.run.cancelled",
        "thread.run.expired",
    }
)
"""After one of these a stream says `done`."""


def message_delta(message_id: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Build the payload of `thread.message.delta`; every part carries its `index`."""
    return {"id": message_id, "object": "thread.message.delta", "delta": {"content": content}}


def step_delta(step_id: str, tool_calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Build the payload of `thread.run.step.delta`; every call carries its `index`.

    The SDK concatenates every string of a delta but `index` and `type`: `id` and `name` are sent once.
    """
    details = {"type": "tool_calls", "tool_calls": tool_calls}
    return {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
