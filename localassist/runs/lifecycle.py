"""The nine values of `RunStatus` and the legal moves between them; pure.

Source: published OpenAPI document (`RunObject.status`) and the reference's page "How Assistants work"; the drawing of
the moves was an image that is no longer published, so the table below is what its text and recorded traffic allow.
"""

from typing import Any, Final, get_args

from localassist.errors import LocalAssistError
from localassist.types.event import EventName
from localassist.types.run import Run, RunStatus

MOVES: Final[dict[RunStatus, frozenset[RunStatus]]] = {
    "queued": frozenset({"in_progress", "cancelled", "failed", "expired"}),
    "in_progress": frozenset({"requires_action", "cancelling", "completed", "incomplete", "failed", "expired"}),
    "requires_action": frozenset({"queued", "cancelled", "failed", "expired"}),
    "cancelling": frozenset({"cancelled", "completed", "incomplete", "failed", "expired"}),
    "cancelled": frozenset(),
    "failed": frozenset(),
    "completed": frozenset(),
    "incomplete": frozenset(),
    "expired": frozenset(),
}
TERMINAL: Final = frozenset(status for status, onward in MOVES.items() if not onward)
ACTIVE: Final = frozenset(get_args(RunStatus)) - TERMINAL
"""While its run is in one of these, a thread is locked."""

_STAMP: Final[dict[RunStatus, str]] = {
    "in_progress": "started_at",
    "cancelled": "cancelled_at",
    "failed": "failed_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
}


class IllegalMoveError(LocalAssistError):
    """A run was asked to make a move that its state does not allow."""


def move(run: Run, status: RunStatus, *, at: int, **changes: Any) -> Run:
    """Give `run` in its new state, stamped with `at` (Unix seconds), with `changes` to other fields.

    `required_action` lasts only as long as `requires_action`; `expires_at` is null once a run has ended, as in recorded
    traffic.

    Raises:
        IllegalMoveError: the move is not in the table.
    """
    if status not in MOVES[run.status]:
        raise IllegalMoveError(f"Run {run.id} cannot go from {run.status!r} to {status!r}.")
    update: dict[str, Any] = {"status": status, "required_action": None, **changes}
    if status in _STAMP:
        update[_STAMP[status]] = at
    if status in TERMINAL:
        update["expires_at"] = None
    return run.model_copy(update=update)


def event_name(status: RunStatus) -> EventName:
    """Name the event that tells of `status`."""
    names: dict[RunStatus, EventName] = {
        "queued": "thread.run.queued",
        "in_progress": "thread.run.in_progress",
        "requires_action": "thread.run.requires_action",
        "cancelling": "thread.run.cancelling",
        "cancelled": "thread.run.cancelled",
        "failed": "thread.run.failed",
        "completed": "thread.run.completed",
        "incomplete": "thread.run.incomplete",
        "expired": "thread.run.expired",
    }
    return names[status]
