import pytest

from localassist.errors import BadRequestError
from localassist.store import events, runs, threads
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence, LostLease, claim_run
from localassist.store.pages import PageQuery
from localassist.types.run import Run, RunStatus
from tests.unit.store.things import STRANGE, a_run, a_step, a_thread, queue_run


async def test_a_run_comes_back_as_it_was(database: Database) -> None:
    run = await database.write(queue_run)

    assert await database.read(lambda conn: runs.get(conn, run.thread_id, run.id)) == run
    assert await database.read(lambda conn: runs.by_id(conn, run.id)) == run
    assert await database.read(lambda conn: runs.get(conn, "thread_none", run.id)) is None


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling"])
async def test_a_thread_with_an_active_run_takes_no_other(database: Database, status: str) -> None:
    first = await database.write(lambda conn: queue_run(conn, status=status))

    def add(conn: Connection) -> None:
        with pytest.raises(runs.ActiveRun) as caught:
            runs.insert(conn, a_run(first.thread_id))
        assert caught.value.run_id == first.id

    await database.write(add)  # and the transaction can go on
    page = await database.read(lambda conn: runs.list_page(conn, first.thread_id, PageQuery()))
    assert page.data == [first]


@pytest.mark.parametrize("status", ["cancelled", "failed", "completed", "incomplete", "expired"])
async def test_a_thread_whose_run_has_ended_takes_the_next(database: Database, status: str) -> None:
    first = await database.write(lambda conn: queue_run(conn, status=status))
    second = a_run(first.thread_id)

    await database.write(lambda conn: runs.insert(conn, second))

    assert await database.read(lambda conn: runs.active_of(conn, first.thread_id)) == second


async def test_a_run_in_no_thread_is_refused(database: Database) -> None:
    with pytest.raises(BadRequestError, match="The object that this belongs to was deleted meanwhile"):
        await database.write(lambda conn: runs.insert(conn, a_run("thread_none")))


async def test_a_change_is_made_only_from_an_expected_state(database: Database) -> None:
    run = await database.write(queue_run)
    failed = run.model_copy(update={"status": "failed", "failed_at": 5, "expires_at": None})

    assert not await database.write(lambda conn: runs.change(conn, failed, expected={"in_progress"}))
    assert await database.read(lambda conn: runs.by_id(conn, run.id)) == run
    assert await database.write(lambda conn: runs.change(conn, failed, expected={"in_progress", "queued"}))
    assert await database.read(lambda conn: runs.by_id(conn, run.id)) == failed
    assert not await database.write(lambda conn: runs.change(conn, failed, expected=set()))


async def test_a_workers_change_leaves_the_clients_metadata(database: Database) -> None:
    run = await database.write(queue_run)

    def work(conn: Connection) -> Run | None:
        assert runs.replace_metadata(conn, run.id, {"new": "yes"})
        assert not runs.replace_metadata(conn, "run_none", {})
        assert runs.change(conn, run.model_copy(update={"status": "in_progress"}), expected={"queued"})
        return runs.by_id(conn, run.id)

    changed = await database.write(work)
    assert changed is not None
    assert (changed.status, changed.metadata, run.metadata) == ("in_progress", {"new": "yes"}, STRANGE)


@pytest.mark.parametrize("heir", ["new", "old"])  # a process may also take over from itself
async def test_every_write_of_a_worker_without_the_lease_fails_and_undoes_its_transaction(
    database: Database, heir: str
) -> None:
    run = await database.write(queue_run)
    _, stale, _ = await _claim(database, "old", now=0)
    _, fence, _ = await _claim(database, heir, now=100)
    step, lost = a_step(run), a_thread()
    ended = run.model_copy(update={"status": "completed"})
    await database.write(lambda conn: runs.insert_step(conn, step, fence))

    for attempt in (
        lambda conn, fence: runs.change(conn, ended, expected={"queued"}, fence=fence),
        lambda conn, fence: runs.insert_step(conn, a_step(run), fence),
        lambda conn, fence: runs.replace_step(conn, step, fence),
        lambda conn, fence: runs.delete_step(conn, step.id, fence),
        lambda conn, fence: events.append(conn, run.id, 1, [("a", "{}")], attempt=1, fence=fence),
    ):

        def write(conn: Connection, attempt=attempt) -> None:
            threads.insert(conn, lost)
            attempt(conn, stale)

        with pytest.raises(LostLease, match=f"Run {run.id} is no longer held by old at attempt 1"):
            await database.write(write)
    assert await database.read(lambda conn: threads.get(conn, lost.id)) is None
    assert await database.read(lambda conn: runs.steps_of(conn, run.id)) == [step]
    assert await database.read(lambda conn: events.last_seq(conn, run.id)) == 0
    assert await database.write(lambda conn: runs.change(conn, ended, expected={"queued"}, fence=fence))


@pytest.mark.parametrize("status", ["completed", "requires_action", "queued"])
async def test_a_run_that_ends_or_waits_belongs_to_no_worker(database: Database, status: RunStatus) -> None:
    await database.write(queue_run)
    run, fence, _ = await _claim(database, "w", now=0)
    changed = run.model_copy(update={"status": status})

    await database.write(lambda conn: runs.change(conn, changed, expected={"queued"}, fence=fence))

    with pytest.raises(LostLease):
        await database.write(lambda conn: runs.change(conn, run, expected={status}, fence=fence))


async def test_a_client_that_cancels_leaves_the_run_with_its_worker(database: Database) -> None:
    await database.write(queue_run)
    run, fence, _ = await _claim(database, "w", now=0)
    cancelling = run.model_copy(update={"status": "cancelling"})

    await database.write(lambda conn: runs.change(conn, cancelling, expected={"queued"}))

    cancelled = run.model_copy(update={"status": "cancelled"})
    assert await database.write(lambda conn: runs.change(conn, cancelled, expected={"cancelling"}, fence=fence))


async def _claim(database: Database, worker: str, *, now: float) -> tuple[Run, Fence, bool]:
    claimed = await database.write(lambda conn: claim_run(conn, worker, now, 10))
    assert claimed is not None
    return claimed
