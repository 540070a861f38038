from functools import partial

from localassist import clock
from localassist.store import files, vector_stores
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.vector_store import (
    FileCounts,
    IngestionReport,
    VectorStoreFileBatch,
    VectorStoreFileError,
)
from tests.unit.store.things import a_store, claimed_file, complete, queue_file

DAY = 86_400


async def test_a_store_counts_its_files_and_their_bytes(database: Database) -> None:
    store, other, empty = a_store(), a_store(), a_store()
    error = VectorStoreFileError(code="invalid_file", message="It is \x00 empty.")

    def work(conn: Connection) -> None:
        for each in (store, other, empty):
            vector_stores.insert(conn, each)
        for _ in range(4):
            queue_file(conn, store)
        complete(conn, claimed_file(conn), usage_bytes=3)
        complete(conn, claimed_file(conn), usage_bytes=4)
        vector_stores.finish_file(
            conn, claimed_file(conn), status="failed", last_error=error, usage_bytes=0, report=None, content_key=None
        )
        queue_file(conn, other)
        complete(conn, claimed_file(conn))  # the fourth of `store`
        page = vector_stores.list_page(conn, PageQuery(order="asc"))
        assert [s.id for s in page.data] == [store.id, other.id, empty.id]
        assert [s.status for s in page.data] == ["completed", "in_progress", "completed"]
        assert [s.usage_bytes for s in page.data] == [17, 0, 0]
        assert page.data[0].file_counts == FileCounts(completed=3, failed=1, total=4)
        assert page.data[1].file_counts == FileCounts(in_progress=1, total=1)
        assert vector_stores.get(conn, store.id) == page.data[0]
        failed = vector_stores.list_files_page(conn, store.id, PageQuery(), status="failed").data
        assert [f.last_error for f in failed] == [error]

    await database.write(work)


async def test_the_version_grows_with_every_change_that_a_search_can_see(database: Database) -> None:
    store = a_store()

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        versions = [vector_stores.index_version(conn, store.id)]

        def changed() -> bool:
            versions.append(vector_stores.index_version(conn, store.id))
            return versions[-1] != versions[-2]

        file = queue_file(conn, store, attributes={"a": 1.5, "b": True, "c": "\x00"})
        assert not changed()
        complete(conn, claimed_file(conn), key="k1")
        assert changed()
        assert [
            (r.file_id, r.filename, r.content_key, r.attributes) for r in vector_stores.indexed_files(conn, store.id)
        ] == [(file.id, file.filename, "k1", {"a": 1.5, "b": True, "c": "\x00"})]
        assert vector_stores.replace_attributes(conn, store.id, file.id, {"a": 2})
        assert changed()
        assert not vector_stores.replace_attributes(conn, store.id, "file-none", {})
        assert not changed()
        queue_file(conn, store, file)  # again: what was indexed is gone until it is indexed anew
        assert changed()
        assert vector_stores.indexed_files(conn, store.id) == []
        complete(conn, claimed_file(conn), key="k2")
        assert changed()
        assert vector_stores.content_key(conn, store.id, file.id) == "k2"
        assert vector_stores.live_content_keys(conn) == {"k2"}
        assert vector_stores.delete_file(conn, store.id, file.id)
        assert changed()
        assert not vector_stores.delete_file(conn, store.id, file.id)
        assert not changed()
        assert files.get(conn, file.id) == file
        queue_file(conn, store, file)
        complete(conn, claimed_file(conn))
        assert changed()
        assert files.delete(conn, file.id)
        assert changed()
        assert vector_stores.indexed_files(conn, store.id) == []
        assert vector_stores.index_version(conn, "vs_none") is None
        assert versions == sorted(v for v in versions if v is not None)

    await database.write(work)


async def test_a_finished_file_shows_its_report(database: Database) -> None:
    store = a_store()
    report = IngestionReport(
        parser="text", pages=1, empty_pages=0, characters=9, tokens=2, chunks=1, reused_vectors=False
    )

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        file = queue_file(conn, store)
        vector_stores.finish_file(
            conn, claimed_file(conn), status="completed", last_error=None, usage_bytes=9, report=report, content_key="k"
        )
        shown = vector_stores.get_file(conn, store.id, file.id)
        assert shown is not None
        assert (shown.status, shown.usage_bytes, shown.report) == ("completed", 9, report)
        assert vector_stores.get_file(conn, "vs_none", file.id) is None

    await database.write(work)


async def test_a_store_expires_after_its_last_use_and_use_does_not_bring_it_back(database: Database) -> None:
    store = a_store(expires_after={"anchor": "last_active_at", "days": 2}, expires_at=1 + 2 * DAY)

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        assert vector_stores.touch(conn, store.id, DAY)
        for now, status in ((3 * DAY - 1, "completed"), (3 * DAY, "expired")):
            with clock.frozen(partial(float, now)):
                kept = vector_stores.get(conn, store.id)
            assert kept is not None
            assert (kept.status, kept.last_active_at, kept.expires_at) == (status, DAY, 3 * DAY)
        assert vector_stores.expired(conn, 3 * DAY - 1) == []
        assert vector_stores.expired(conn, 3 * DAY) == [store.id]
        assert not vector_stores.touch(conn, store.id, 3 * DAY)
        assert not vector_stores.touch(conn, "vs_none", 0)

    await database.write(work)


async def test_a_replaced_store_keeps_its_files(database: Database) -> None:
    store = a_store()
    renamed = store.model_copy(update={"name": "New", "metadata": {}, "last_active_at": 9})

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        queue_file(conn, store)
        assert vector_stores.replace(conn, renamed)
        kept = vector_stores.get(conn, store.id)
        assert kept is not None
        assert (kept.name, kept.metadata, kept.last_active_at, kept.file_counts.total) == ("New", {}, 9, 1)
        assert vector_stores.delete(conn, store.id)
        assert not vector_stores.delete(conn, store.id)
        assert not vector_stores.replace(conn, renamed)

    await database.write(work)


async def test_a_cancelled_batch_stays_cancelled_and_leaves_what_has_begun(database: Database) -> None:
    store = a_store()
    batch = VectorStoreFileBatch(id="vsfb_1", created_at=1, vector_store_id=store.id)

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        vector_stores.insert_batch(conn, batch)
        queued = [queue_file(conn, store, batch_id=batch.id) for _ in range(3)]
        alone = queue_file(conn, store)
        complete(conn, claimed_file(conn))
        begun = claimed_file(conn)
        counted = vector_stores.get_batch(conn, store.id, batch.id)
        assert counted == batch.model_copy(update={"file_counts": FileCounts(in_progress=2, completed=1, total=3)})
        assert vector_stores.cancel_batch(conn, store.id, batch.id)
        assert not vector_stores.cancel_batch(conn, "vs_none", batch.id)
        assert complete(conn, begun)
        counted = vector_stores.get_batch(conn, store.id, batch.id)
        assert counted is not None
        assert (counted.status, counted.file_counts) == ("cancelled", FileCounts(completed=2, cancelled=1, total=3))
        assert claimed_file(conn).file_id == alone.id
        page = vector_stores.list_files_page(conn, store.id, PageQuery(order="asc"), batch_id=batch.id)
        assert [(f.id, f.status) for f in page.data] == [
            (queued[0].id, "completed"),
            (queued[1].id, "completed"),
            (queued[2].id, "cancelled"),
        ]
        assert vector_stores.get_batch(conn, store.id, "vsfb_none") is None

    await database.write(work)


async def test_a_batch_is_completed_once_no_file_is_in_progress(database: Database) -> None:
    store = a_store()

    def work(conn: Connection) -> None:
        vector_stores.insert(conn, store)
        vector_stores.insert_batch(conn, VectorStoreFileBatch(id="vsfb_1", created_at=1, vector_store_id=store.id))
        queue_file(conn, store, batch_id="vsfb_1")
        complete(conn, claimed_file(conn))
        batch = vector_stores.get_batch(conn, store.id, "vsfb_1")
        assert batch is not None
        assert (batch.status, batch.file_counts) == ("completed", FileCounts(completed=1, total=1))

    await database.write(work)
