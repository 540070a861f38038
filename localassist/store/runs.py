"""Rows to `Run` and `RunStep` and back; the guarded change of a run's status."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from localassist.errors import LocalAssistError
from localassist.store import threads
from localassist.store.database import is_writing
from localassist.store.fences import Fence, hold
from localassist.store.pages import Listing, PageQuery, fetch_page
from localassist.store.schema import ACTIVE, body_of, run_steps, runs
from localassist.types.common import ListPage
from localassist.types.run import Run, RunStatus
from localassist.types.run_step import RunStep

_COLUMNS = ("id", "thread_id", "status", "expires_at", "metadata")
_STEP_COLUMNS = ("id", "run_id")
_HELD: frozenset[RunStatus] = frozenset({"in_progress", "cancelling"})


class ActiveRun(LocalAssistError):  # noqa: N818 - it names what stands in the way, and is no fault of anybody's
    """The thread has an active run, and may have only one."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"Run {run_id} is active in this thread.")
        self.run_id = run_id


def insert(conn: Connection, run: Run) -> None:
    """Keep a new run; if it is queued, a worker can claim it from the commit on.

    Raises:
        ActiveRun: the thread has an active run.
        IntegrityError: there is no such thread.
    """
    threads.lock(conn, run.thread_id)
    active = conn.scalar(_ACTIVE_ID, {"of_thread": run.thread_id})
    if active is not None:
        raise ActiveRun(active)
    values = {name: getattr(run, name) for name in _COLUMNS} | {"body": body_of(run, *_COLUMNS), "attempt": 0}
    conn.execute(_INSERT, values)


def get(conn: Connection, thread_id: str, run_id: str) -> Run | None:
    """Read a run of this thread."""
    row = conn.execute(select(runs).where(runs.c.thread_id == thread_id, runs.c.id == run_id)).first()
    return None if row is None else run_of(row)


def by_id(conn: Connection, run_id: str) -> Run | None:
    """Read a run of any thread."""
    row = conn.execute(select(runs).where(runs.c.id == run_id)).first()
    return None if row is None else run_of(row)


def list_page(conn: Connection, thread_id: str, q: PageQuery) -> ListPage[Run]:
    """Read a page of the thread's runs."""
    return fetch_page(conn, Listing(runs, runs.c.id, runs.c.thread_id, thread_id), q, _runs)


def active_of(conn: Connection, thread_id: str) -> Run | None:
    """Give the thread's active run.

    Inside a write it also locks the thread, so that what is decided on the answer ("no message is added while a run is
    active") holds until the transaction ends.
    """
    if is_writing(conn):
        threads.lock(conn, thread_id)
    row = conn.execute(select(runs).where(runs.c.thread_id == thread_id, ACTIVE)).first()
    return None if row is None else run_of(row)


def change(conn: Connection, run: Run, *, expected: Collection[RunStatus], fence: Fence | None = None) -> bool:
    """Write `run` if its status is still among `expected`; False when it is not, or when there is no such run.

    `metadata` is left as it is: it is the client's, who may change it at any time. A run that ends, waits for the
    client or is queued again belongs to no worker.

    Raises:
        LostLease: the run is no longer held under `fence`.
    """
    hold(conn, run.id, fence)
    values: dict[str, Any] = {
        "status": run.status,
        "expires_at": run.expires_at,
        "body": body_of(run, *_COLUMNS),
    }
    if run.status not in _HELD:
        values |= {"worker": None, "lease_until": None}
    return conn.execute(_CHANGE, {"of": run.id, "expected": tuple(expected), **values}).rowcount > 0


def replace_metadata(conn: Connection, run_id: str, metadata: dict[str, str]) -> bool:
    """Write the run's metadata; False when there is no such run."""
    return conn.execute(sql_update(runs).where(runs.c.id == run_id).values(metadata=metadata)).rowcount > 0


def insert_step(conn: Connection, step: RunStep, fence: Fence | None = None) -> None:
    """Keep a new step behind the others of its run.

    Raises:
        LostLease: the run is no longer held under `fence`.
    """
    hold(conn, step.run_id, fence)
    conn.execute(_INSERT_STEP, {"id": step.id, "run_id": step.run_id, "body": body_of(step, *_STEP_COLUMNS)})


def replace_step(conn: Connection, step: RunStep, fence: Fence | None = None) -> bool:
    """Write `step` over the step of its id and run; False when there is none.

    Raises:
        LostLease: the run is no longer held under `fence`.
    """
    hold(conn, step.run_id, fence)
    values = {"of": step.id, "of_run": step.run_id, "body": body_of(step, *_STEP_COLUMNS)}
    return conn.execute(_REPLACE_STEP, values).rowcount > 0


def get_step(conn: Connection, run_id: str, step_id: str) -> RunStep | None:
    """Read a step of this run."""
    row = conn.execute(select(run_steps).where(run_steps.c.run_id == run_id, run_steps.c.id == step_id)).first()
    return None if row is None else _step(row)


def list_steps_page(conn: Connection, run_id: str, q: PageQuery) -> ListPage[RunStep]:
    """Read a page of the run's steps."""
    return fetch_page(conn, Listing(run_steps, run_steps.c.id, run_steps.c.run_id, run_id), q, _steps)


def steps_of(conn: Connection, run_id: str) -> list[RunStep]:
    """Read all steps of a run, oldest first."""
    return _steps(conn.execute(_STEPS_OF, {"of_run": run_id}).all())


def delete_step(conn: Connection, step_id: str, fence: Fence | None = None) -> bool:
    """Delete a step; False when there is none.

    Raises:
        LostLease: the run is no longer held under `fence`.
    """
    run_id = conn.scalar(select(run_steps.c.run_id).where(run_steps.c.id == step_id))
    if run_id is None:
        return False
    hold(conn, run_id, fence)
    return conn.execute(sql_delete(run_steps).where(run_steps.c.id == step_id)).rowcount > 0


def run_of(row: Row[Any]) -> Run:
    """Make a run of its row."""
    return Run.model_validate({**row.body, **{name: getattr(row, name) for name in _COLUMNS}})


def _runs(rows: Sequence[Row[Any]]) -> list[Run]:
    return [run_of(row) for row in rows]


def _step(row: Row[Any]) -> RunStep:
    return RunStep.model_validate({**row.body, **{name: getattr(row, name) for name in _STEP_COLUMNS}})


def _steps(rows: Sequence[Row[Any]]) -> list[RunStep]:
    return [_step(row) for row in rows]


_INSERT: Final = sql_insert(runs)
_ACTIVE_ID: Final = select(runs.c.id).where(runs.c.thread_id == bindparam("of_thread"), ACTIVE)
_CHANGE: Final = sql_update(runs).where(
    runs.c.id == bindparam("of"), runs.c.status.in_(bindparam("expected", expanding=True))
)
_INSERT_STEP: Final = sql_insert(run_steps)
_REPLACE_STEP: Final = sql_update(run_steps).where(
    run_steps.c.id == bindparam("of"), run_steps.c.run_id == bindparam("of_run")
)
_STEPS_OF: Final = select(run_steps).where(run_steps.c.run_id == bindparam("of_run")).order_by(run_steps.c.seq)
