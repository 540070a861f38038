"""Fences: what a worker shows with every write, so that one that was taken for dead writes nothing more."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from localassist.errors import LocalAssistError
from localassist.store.schema import runs

_HELD = "localassist_held"


@dataclass(frozen=True, slots=True)
class Fence:
    """Under which name and at which attempt a job was claimed."""

    worker: str
    attempt: int


class LostLease(LocalAssistError):  # noqa: N818 - it names what happened, and is no fault of anybody's
    """The job is another worker's by now, or has ended; nothing of this transaction is kept."""


def hold(conn: Connection, run_id: str, fence: Fence | None) -> None:
    """Make sure that the run is still held under `fence`, and stays so until the transaction ends.

    It is asked once in a transaction: then the row is locked.

    Raises:
        LostLease: it is not.
    """
    if fence is None:
        return
    asked = (conn.get_transaction(), run_id, fence)
    if conn.info.get(_HELD) == asked:
        return
    row = conn.execute(_HOLDER, {"run_id": run_id}).first()
    if row is None or (row.worker, row.attempt) != (fence.worker, fence.attempt):
        raise LostLease(f"Run {run_id} is no longer held by {fence.worker} at attempt {fence.attempt}.")
    conn.info[_HELD] = asked


_HOLDER = select(runs.c.worker, runs.c.attempt).where(runs.c.id == bindparam("run_id")).with_for_update()
