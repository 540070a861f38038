from functools import partial

import pytest

from localassist.store import files, runs, vector_stores
from localassist.store.database import Connection, Database
from localassist.store.jobs import (
    Fence,
    claim_file,
    claim_run,
    expired_runs,
    release_file,
    release_run,
    renew_file,
    renew_run,
)
from localassist.types.vector_store import StaticChunking, StaticFileChunkingStrategy
from tests.unit.store.things import a_file, a_store, claimed_file, complete, queue_file, queue_run


async def test_the_oldest_run_is_claimed_first_and_none_twice(database: Database) -> None:
    queued = [await database.write(queue_run) for _ in range(3)]

    claims = [await database.write(lambda conn: claim_run(conn, "w", 0, 10)) for _ in range(4)]

    assert claims == [*((run, Fence("w", 1), False) for run in queued), None]


@pytest.mark.parametrize("status", ["requires_action", "completed", "failed", "cancelled", "incomplete", "expired"])
async def test_a_run_that_waits_for_its_client_or_has_ended_is_not_claimed(database: Database, status: str) -> None:
    await database.write(lambda conn: queue_run(conn, status=status))

    assert await database.write(lambda conn: claim_run(conn, "w", 0, 10)) is None


@pytest.mark.parametrize(("status", "begun"), [("queued", False), ("in_progress", True), ("cancelling", True)])
async def test_a_dead_workers_run_is_taken_over_once_its_lease_has_lapsed(
    database: Database, status: str, begun: bool
) -> None:
    await database.write(lambda conn: queue_run(conn, status=status))
    await database.write(lambda conn: claim_run(conn, "dead", 0, 10))

    assert await database.write(lambda conn: claim_run(conn, "heir", 10, 10)) is None
    claimed = await database.write(lambda conn: claim_run(conn, "heir", 10.001, 10))

    assert claimed is not None
    assert claimed[1:] == (Fence("heir", 2), begun)


async def test_a_renewed_lease_holds_longer_and_tells_the_status(database: Database) -> None:
    run = await database.write(queue_run)
    await database.write(lambda conn: claim_run(conn, "w", 0, 10))

    assert await database.write(lambda conn: renew_run(conn, run.id, Fence("w", 1), 9, 10)) == "queued"

    assert await database.write(lambda conn: claim_run(conn, "other", 18, 10)) is None
    assert await database.write(lambda conn: claim_run(conn, "other", 20, 10)) is not None
    assert await database.write(lambda conn: renew_run(conn, run.id, Fence("w", 1), 20, 10)) is None


async def test_a_run_that_was_ended_by_others_cannot_be_renewed(database: Database) -> None:
    run = await database.write(queue_run)
    await database.write(lambda conn: claim_run(conn, "w", 0, 10))
    expired = run.model_copy(update={"status": "expired"})

    await database.write(lambda conn: runs.change(conn, expired, expected={"queued"}))

    assert await database.write(lambda conn: renew_run(conn, run.id, Fence("w", 1), 1, 10)) is None
    assert await database.read(lambda conn: runs.by_id(conn, run.id)) == expired


async def test_a_released_run_is_claimed_at_once(database: Database) -> None:
    run = await database.write(lambda conn: queue_run(conn, status="in_progress"))
    await database.write(lambda conn: claim_run(conn, "w", 0, 10))

    assert not await database.write(lambda conn: release_run(conn, run.id, Fence("w", 2)))
    assert await database.write(lambda conn: release_run(conn, run.id, Fence("w", 1)))

    assert await database.write(lambda conn: claim_run(conn, "v", 1, 10)) == (run, Fence("v", 2), True)


async def test_only_active_runs_expire(database: Database) -> None:
    due = [
        await database.write(partial(queue_run, status=s, expires_at=100))
        for s in ("queued", "in_progress", "requires_action", "cancelling")
    ]
    await database.write(lambda conn: queue_run(conn, status="completed", expires_at=100))
    await database.write(lambda conn: queue_run(conn, expires_at=None))

    assert await database.read(lambda conn: expired_runs(conn, 99)) == []
    assert await database.read(lambda conn: expired_runs(conn, 100)) == due


async def test_a_file_is_claimed_with_all_that_indexing_needs(database: Database) -> None:
    store, file = a_store(), a_file(filename="漢.md", bytes=7)
    chunking = StaticFileChunkingStrategy(static=StaticChunking(max_chunk_size_tokens=200, chunk_overlap_tokens=9))

    def fill(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        files.insert(conn, file, sha256="ab")
        queue_file(conn, store, file, chunking_strategy=chunking)

    await database.write(fill)
    job = await database.write(lambda conn: claim_file(conn, "w", 0, 10))
    assert job is not None
    assert (job.store_id, job.file_id, job.file_name, job.sha256, job.bytes) == (store.id, file.id, "漢.md", "ab", 7)
    assert (job.chunking, job.fence, job.attempt) == (chunking, Fence("w", 1), 1)
    assert await database.write(lambda conn: claim_file(conn, "w", 0, 10)) is None
    assert await database.write(lambda conn: renew_file(conn, job, 9, 10))
    assert await database.write(lambda conn: claim_file(conn, "v", 18, 10)) is None


async def test_a_file_that_ends_three_processes_fails(database: Database) -> None:
    store = a_store()
    await database.write(lambda conn: vector_stores.insert(conn, store))
    file = await database.write(lambda conn: queue_file(conn, store))
    healthy = await database.write(lambda conn: queue_file(conn, store))

    claims = [await database.write(partial(claim_file, worker="w", now=n * 100, lease_s=10)) for n in range(3)]
    last = await database.write(lambda conn: claim_file(conn, "w", 300, 10))

    assert [job and (job.file_id, job.attempt) for job in claims] == [(file.id, n) for n in (1, 2, 3)]
    assert last is not None
    assert last.file_id == healthy.id
    failed = await database.read(lambda conn: vector_stores.get_file(conn, store.id, file.id))
    assert failed is not None
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert failed.last_error.code == "server_error"
    assert "ended the process 3 times" in failed.last_error.message


async def test_a_file_that_was_given_back_has_ended_no_process(database: Database) -> None:
    store = a_store()
    await database.write(lambda conn: vector_stores.insert(conn, store))
    file = await database.write(lambda conn: queue_file(conn, store))

    for n in range(1, 6):
        job = await database.write(claimed_file)
        assert (job.file_id, job.attempt) == (file.id, n)
        assert await database.write(partial(release_file, job=job))
        assert not await database.write(partial(release_file, job=job))


async def test_an_old_worker_cannot_finish_a_file_that_was_taken_over(database: Database) -> None:
    store = a_store()
    await database.write(lambda conn: vector_stores.insert(conn, store))
    await database.write(lambda conn: queue_file(conn, store))
    old = await database.write(claimed_file)
    new = await database.write(lambda conn: claimed_file(conn, now=11))

    assert not await database.write(lambda conn: complete(conn, old, key="old"))
    assert not await database.write(lambda conn: renew_file(conn, old, 12, 10))
    assert await database.write(lambda conn: complete(conn, new, key="new"))
    assert not await database.write(lambda conn: complete(conn, new, key="again"))

    indexed = await database.read(lambda conn: vector_stores.indexed_files(conn, store.id))
    assert [row.content_key for row in indexed] == ["new"]


@pytest.mark.parametrize("gone", ["entry", "entry, added again", "file", "store"])
async def test_a_file_deleted_while_it_is_indexed_does_not_come_back(database: Database, gone: str) -> None:
    store = a_store()
    await database.write(lambda conn: vector_stores.insert(conn, store))
    file = await database.write(lambda conn: queue_file(conn, store))
    job = await database.write(claimed_file)

    def delete(conn: Connection) -> bool:
        if gone == "store":
            return vector_stores.delete(conn, store.id)
        if gone == "file":
            return files.delete(conn, file.id)
        deleted = vector_stores.delete_file(conn, store.id, file.id)
        if gone != "entry":
            queue_file(conn, store, file)
            assert claimed_file(conn).fence == job.fence  # the same worker's first attempt, at another entry
        return deleted

    assert await database.write(delete)
    assert not await database.write(lambda conn: complete(conn, job))
    assert await database.read(lambda conn: vector_stores.indexed_files(conn, store.id)) == []
