"""Many at once on one database, each with its own connections, as separate processes would."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from localassist.store import events, files, messages, runs, threads, vector_stores
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence, LostLease, claim_file, claim_run
from localassist.types.run import Run
from tests.unit.store.things import a_file, a_message, a_run, a_store, a_thread, complete, queue_file, queue_run

N = 8


@pytest.fixture
async def databases(database: Database, database_url: str) -> AsyncIterator[list[Database]]:
    """Eight openings of one database."""
    opened = [Database(database_url, readers=1) for _ in range(N)]
    yield opened
    await asyncio.gather(*(db.close() for db in opened))


async def test_eight_claimers_never_claim_a_run_twice(databases: list[Database]) -> None:
    queued = [await databases[0].write(queue_run) for _ in range(40)]

    async def claim_all(db: Database, worker: str) -> list[tuple[str, Fence]]:
        claimed = []
        while job := await db.write(lambda conn: claim_run(conn, worker, 0, 10)):
            claimed.append((job[0].id, job[1]))
        return claimed

    claims = [
        c for each in await asyncio.gather(*(claim_all(db, f"w{n}") for n, db in enumerate(databases))) for c in each
    ]

    assert Counter(run_id for run_id, _ in claims) == Counter(run.id for run in queued)
    assert {fence.attempt for _, fence in claims} == {1}


async def test_eight_claimers_never_claim_a_file_twice(databases: list[Database]) -> None:
    store = a_store()

    def fill(conn: Connection) -> list[str]:
        vector_stores.insert(conn, store)
        return [queue_file(conn, store).id for _ in range(30)]

    queued = await databases[0].write(fill)

    async def index_all(db: Database, worker: str) -> list[str]:
        done = []
        while job := await db.write(lambda conn: claim_file(conn, worker, 0, 10)):
            assert await db.write(partial(complete, job=job))
            done.append(job.file_id)
        return done

    done = [
        i for each in await asyncio.gather(*(index_all(db, f"w{n}") for n, db in enumerate(databases))) for i in each
    ]

    assert Counter(done) == Counter(queued)
    assert await databases[0].read(lambda conn: vector_stores.index_version(conn, store.id)) == 31


async def test_a_dead_workers_run_goes_to_one_heir_and_its_late_writes_fail(databases: list[Database]) -> None:
    run = await databases[0].write(queue_run)
    claimed = await databases[0].write(lambda conn: claim_run(conn, "dead", 0, 10))
    assert claimed is not None
    _, stale, _ = claimed

    async def inherit(db: Database, n: int) -> Fence | None:
        job = await db.write(lambda conn: claim_run(conn, f"heir{n}", 11, 10))
        return job and job[1]

    async def write_late(db: Database) -> None:
        def work(conn: Connection) -> None:
            events.append(conn, run.id, 1, [("late", "{}")], attempt=1, fence=stale)

        with pytest.raises(LostLease):
            await db.write(work)

    heirs = [f for f in await asyncio.gather(*(inherit(db, n) for n, db in enumerate(databases))) if f is not None]
    assert [fence.attempt for fence in heirs] == [2]
    await asyncio.gather(*(write_late(db) for db in databases))
    await databases[0].write(lambda conn: events.append(conn, run.id, 1, [("e", "{}")], attempt=2, fence=heirs[0]))
    assert [e.name for e in await databases[0].read(lambda conn: events.after(conn, run.id, 0))] == ["e"]


async def test_of_many_runs_started_at_once_one_is_active(databases: list[Database]) -> None:
    thread = a_thread()
    await databases[0].write(lambda conn: threads.insert(conn, thread))

    async def start(db: Database) -> tuple[str, bool]:
        run = a_run(thread.id)
        try:
            await db.write(lambda conn: runs.insert(conn, run))
        except runs.ActiveRun as active:
            return active.run_id, False
        return run.id, True

    outcomes = await asyncio.gather(*(start(db) for db in databases for _ in range(3)))

    assert len({run_id for run_id, _ in outcomes}) == 1
    assert sum(won for _, won in outcomes) == 1


async def test_no_message_slips_in_beside_a_run_that_starts(databases: list[Database]) -> None:
    for _ in range(10):
        thread = a_thread()
        await databases[0].write(partial(threads.insert, t=thread))

        def start(conn: Connection, thread=thread) -> int:
            runs.insert(conn, a_run(thread.id))
            return len(messages.all_of(conn, thread.id))

        def say(conn: Connection, thread=thread) -> None:
            if runs.active_of(conn, thread.id) is None:
                messages.insert(conn, a_message(thread.id))

        n_seen, *_ = await asyncio.gather(databases[0].write(start), *(db.write(say) for db in databases[1:]))

        assert len(await databases[0].read(partial(messages.all_of, thread_id=thread.id))) == n_seen


async def test_only_one_of_two_changes_from_one_state_is_made(databases: list[Database]) -> None:
    run = await databases[0].write(lambda conn: queue_run(conn, status="in_progress"))

    async def end(db: Database, status: str) -> tuple[str, bool]:
        ended = Run.model_validate({**run.model_dump(), "status": status})
        return status, await db.write(lambda conn: runs.change(conn, ended, expected={"in_progress"}))

    outcomes = await asyncio.gather(
        *(end(db, s) for db, s in zip(databases, ["completed", "expired"] * 4, strict=True))
    )

    assert sum(made for _, made in outcomes) == 1
    kept = await databases[0].read(lambda conn: runs.by_id(conn, run.id))
    assert kept is not None
    assert (kept.status, True) in outcomes


async def test_a_file_deleted_while_it_is_finished_never_stays_in_a_store(databases: list[Database]) -> None:
    for _ in range(10):
        store, file = a_store(), a_file()

        def fill(conn: Connection, store=store, file=file) -> None:
            vector_stores.insert(conn, store)
            files.insert(conn, file, sha256="aa")
            queue_file(conn, store, file)

        await databases[0].write(fill)
        job = await databases[0].write(lambda conn: claim_file(conn, "w", 0, 10))
        assert job is not None

        await asyncio.gather(
            databases[0].write(partial(complete, job=job)),
            databases[1].write(partial(files.delete, file_id=file.id)),
        )

        assert await databases[2].read(partial(vector_stores.indexed_files, store_id=store.id)) == []


async def test_transactions_that_wait_for_each_other_are_both_carried_out_in_the_end(databases: list[Database]) -> None:
    first, second = a_thread(), a_thread()
    await databases[0].write(partial(threads.insert, t=first))
    await databases[0].write(partial(threads.insert, t=second))
    tries: Counter[str] = Counter()
    both_hold_one = threading.Barrier(2)

    def lock_in_order(conn: Connection, *, own: str, others: str) -> None:
        tries[own] += 1
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
            threads.lock(conn, own)
            if tries[own] == 1:
                both_hold_one.wait(timeout=10)
        threads.lock(conn, others)
        messages.insert(conn, a_message(own))

    await asyncio.gather(
        databases[0].write(partial(lock_in_order, own=first.id, others=second.id)),
        databases[1].write(partial(lock_in_order, own=second.id, others=first.id)),
    )

    for thread in (first, second):
        assert len(await databases[0].read(partial(messages.all_of, thread_id=thread.id))) == 1
    if await databases[0].read(lambda conn: conn.dialect.name) == "postgresql":
        assert sum(tries.values()) == 3  # the one that gave way began again
