"""Runs that end without a worker: cancelled or expired while they wait; inside the caller's transaction.

The events are written by whoever changes the run, which is sound because nobody holds it: a worker that has just
claimed it shows its fence with its first write, and finds that the run is no longer its own.
"""

from typing import Literal

from localassist import clock
from localassist.runs import lifecycle
from localassist.runs.events import event
from localassist.store import events as event_rows
from localassist.store import runs as rows
from localassist.store.database import Connection
from localassist.types.common import Usage
from localassist.types.event import EventName
from localassist.types.run import Run, RunStatus
from localassist.types.run_step import RunStep

IDLE: frozenset[RunStatus] = frozenset({"queued", "requires_action"})
"""In these a run waits, for a worker or for its client."""

_STEP_EVENTS: dict[Literal["cancelled", "expired"], EventName] = {
    "cancelled": "thread.run.step.cancelled",
    "expired": "thread.run.step.expired",
}


def end(conn: Connection, run: Run, status: Literal["cancelled", "expired"]) -> Run | None:
    """End a waiting run with its open steps, and tell of it; None when it no longer waits as `run` says."""
    now = clock.now_s()
    steps = rows.steps_of(conn, run.id)
    ended = lifecycle.move(run, status, at=now, usage=usage_of(steps))
    if not rows.change(conn, ended, expected=(run.status,)):
        return None
    told: list[tuple[str, str]] = []
    for step in steps:
        if step.status == "in_progress":
            stamp = {"cancelled_at": now} if status == "cancelled" else {}
            over = step.model_copy(update={"status": status, "expires_at": None, **stamp})
            rows.replace_step(conn, over)
            told.append(
                event(_STEP_EVENTS[status], over.model_copy(update={"expires_at": run.expires_at}).model_dump())
            )
    tell(conn, run.id, [*told, event(lifecycle.event_name(status), ended.model_dump())])
    return ended


def tell(conn: Connection, run_id: str, events: list[tuple[str, str]]) -> int:
    """Add events to the log of a run that nobody holds; give the number of the newest before them."""
    before = event_rows.last_seq(conn, run_id)
    event_rows.append(conn, run_id, before + 1, events, attempt=0, fence=None)
    return before


def usage_of(steps: list[RunStep]) -> Usage | None:
    """Add up what the steps used; None when nothing was."""
    used = [step.usage for step in steps if step.usage is not None]
    return sum(used[1:], start=used[0]) if used else None
