"""The queue: claim work, keep it, give it back.

The rows of runs and of vector store files are the queue; there is no second list that could disagree with them. A claim
writes the worker's name, counts the attempt and sets a lease. Whoever lets the lease lapse is taken for dead, and the
next claim takes the job over; the dead one's writes then fail at the fence.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Table,
    Update,
    and_,
    bindparam,
    case,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from localassist.store.fences import Fence, LostLease, hold
from localassist.store.runs import run_of
from localassist.store.schema import ACTIVE, CLAIMABLE, WAITING, files, runs, vector_store_files
from localassist.types.run import Run, RunStatus
from localassist.types.vector_store import StaticFileChunkingStrategy

__all__ = [
    "Fence",
    "IngestJob",
    "LostLease",
    "claim_file",
    "claim_run",
    "expired_runs",
    "hold",
    "release_file",
    "release_run",
    "renew_file",
    "renew_run",
]

MAX_DEATHS: Final = 3
"""A file whose indexing ended so many processes is not tried again."""


@dataclass(frozen=True, slots=True)
class IngestJob:
    """A file to be indexed, and the fence under which it was claimed.

    `row` tells this entry of the file in the store from one that was made after it was removed and added again.
    """

    store_id: str
    file_id: str
    file_name: str
    sha256: str
    bytes: int
    chunking: StaticFileChunkingStrategy
    fence: Fence
    row: int

    @property
    def attempt(self) -> int:
        """Count the claims so far, this one included."""
        return self.fence.attempt


def claim_run(conn: Connection, worker: str, now: float, lease_s: float) -> tuple[Run, Fence, bool] | None:
    """Claim the oldest run that nobody holds.

    Returns:
        The run as it stands, the fence for its writes, and whether an earlier worker had begun it; None without work.
    """
    row = conn.execute(_CLAIM_RUN, {"by": worker, "now": now, "until": now + lease_s}).first()
    return None if row is None else (run_of(row), Fence(worker, row.attempt), row.status != "queued")


def renew_run(conn: Connection, run_id: str, fence: Fence, now: float, lease_s: float) -> RunStatus | None:
    """Keep a claimed run for another `lease_s` seconds; give its status, or None when it was lost or has ended."""
    status: RunStatus | None = conn.scalar(
        update(runs).where(_held_run(run_id, fence)).values(lease_until=now + lease_s).returning(runs.c.status)
    )
    return status


def release_run(conn: Connection, run_id: str, fence: Fence) -> bool:
    """Give a claimed run back as it stands, for any worker to go on with at once; False when it was lost."""
    done = conn.execute(update(runs).where(_held_run(run_id, fence)).values(worker=None, lease_until=None))
    return done.rowcount > 0


def expired_runs(conn: Connection, now: float) -> list[Run]:
    """Give the active runs whose time is over."""
    rows = conn.execute(select(runs).where(ACTIVE, runs.c.expires_at <= now).order_by(runs.c.seq))
    return [run_of(row) for row in rows]


def claim_file(conn: Connection, worker: str, now: float, lease_s: float) -> IngestJob | None:
    """Claim the oldest file that waits to be indexed and that nobody holds; None without work.

    A file whose indexing ended the process three times fails instead.
    """
    conn.execute(_GIVE_UP_FILES, {"now": now})
    row = conn.execute(_CLAIM_FILE, {"by": worker, "now": now, "until": now + lease_s}).first()
    if row is None:
        return None
    file = conn.execute(select(files).where(files.c.id == row.file_id)).one()
    return IngestJob(
        store_id=row.store_id,
        file_id=row.file_id,
        file_name=file.body["filename"],
        sha256=file.sha256,
        bytes=file.body["bytes"],
        chunking=StaticFileChunkingStrategy.model_validate(row.chunking),
        fence=Fence(worker, row.attempt),
        row=row.seq,
    )


def renew_file(conn: Connection, job: IngestJob, now: float, lease_s: float) -> bool:
    """Keep a claimed file for another `lease_s` seconds; False when it was lost, removed or has ended."""
    return conn.execute(held_file(job).values(lease_until=now + lease_s)).rowcount > 0


def release_file(conn: Connection, job: IngestJob) -> bool:
    """Give a claimed file back, for any worker to begin again at once; False when it was lost."""
    return conn.execute(held_file(job).values(worker=None, lease_until=None)).rowcount > 0


def held_file(job: IngestJob) -> Update:
    """Begin an update of the file's row that does nothing unless `job` is still held."""
    table = vector_store_files
    return update(table).where(
        table.c.seq == job.row,
        table.c.status == "in_progress",
        table.c.worker == job.fence.worker,
        table.c.attempt == job.fence.attempt,
    )


def _held_run(run_id: str, fence: Fence) -> ColumnElement[bool]:
    return and_(runs.c.id == run_id, runs.c.worker == fence.worker, runs.c.attempt == fence.attempt)


_GIVEN_UP: Final = {
    "status": "failed",
    "worker": None,
    "lease_until": None,
    "last_error": {
        "code": "server_error",
        "message": f"Indexing this file ended the process {MAX_DEATHS} times, so it is not tried again. "
        "Remove the file and add it again to give it another chance.",
    },
}


def _free(table: Table) -> ColumnElement[bool]:
    return or_(table.c.lease_until.is_(None), table.c.lease_until < bindparam("now"))


def _oldest(table: Table, *which: ColumnElement[bool]) -> ScalarSelect[Any]:
    first = select(table.c.seq).where(*which, _free(table)).order_by(table.c.seq).limit(1)
    return first.with_for_update(skip_locked=True).scalar_subquery()


def _claim(table: Table, which: ColumnElement[bool], **more: Any) -> ReturningUpdate[Any]:
    """Begin the job of this kind that has waited longest; asks for `by`, `now` and `until`."""
    taken = {"worker": bindparam("by"), "attempt": table.c.attempt + 1, "lease_until": bindparam("until"), **more}
    return update(table).where(table.c.seq == _oldest(table, which)).values(taken).returning(table)


_DEATHS = vector_store_files.c.deaths + case((vector_store_files.c.worker.is_not(None), 1), else_=0)
_CLAIM_RUN: Final = _claim(runs, CLAIMABLE)
_CLAIM_FILE: Final = _claim(vector_store_files, WAITING, deaths=_DEATHS)
_GIVE_UP_FILES: Final = (
    update(vector_store_files).where(WAITING, _free(vector_store_files), _DEATHS >= MAX_DEATHS).values(_GIVEN_UP)
)
