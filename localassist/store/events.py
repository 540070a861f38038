"""A run's events: rows that are only added, numbered from 1 within the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from localassist.store.fences import Fence, hold
from localassist.store.schema import run_events

MOST_AT_ONCE: Final = 1000
"""How many events one read gives."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event: its number, its name, and its payload as JSON text."""

    seq: int
    name: str
    data: str


def append(
    conn: Connection,
    run_id: str,
    first_seq: int,
    events: Sequence[tuple[str, str]],
    *,
    attempt: int,
    fence: Fence | None,
) -> None:
    """Add events (name, JSON text) under the numbers from `first_seq` on.

    Raises:
        LostLease: the run is no longer held under `fence`.
    """
    hold(conn, run_id, fence)
    if events:
        conn.execute(
            _INSERT,
            [
                {"run_id": run_id, "seq": seq, "attempt": attempt, "name": name, "data": data}
                for seq, (name, data) in enumerate(events, start=first_seq)
            ],
        )


def last_seq(conn: Connection, run_id: str) -> int:
    """Give the number of the run's newest event, or 0."""
    return conn.scalar(_LAST_SEQ, {"of": run_id}) or 0


def after(conn: Connection, run_id: str, seq: int, limit: int = MOST_AT_ONCE) -> list[StoredEvent]:
    """Read the events behind number `seq`, at most `limit`."""
    rows = conn.execute(_AFTER, {"of": run_id, "after": seq, "most": limit})
    return [StoredEvent(*row) for row in rows]


_INSERT = insert(run_events)
_LAST_SEQ = select(func.max(run_events.c.seq)).where(run_events.c.run_id == bindparam("of"))
_AFTER = (
    select(run_events.c.seq, run_events.c.name, run_events.c.data)
    .where(run_events.c.run_id == bindparam("of"), run_events.c.seq > bindparam("after"))
    .order_by(run_events.c.seq)
    .limit(bindparam("most"))
)
