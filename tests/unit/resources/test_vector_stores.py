"""Vector stores, their files and batches, searches, and the work of ingestion."""

import asyncio
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localassist import clock
from localassist.errors import BadRequestError, NotFoundError
from localassist.ids import new_id
from localassist.resources.ingestion import Ingestion
from localassist.retrieval.model import ChunkingStrategy, IngestReport, Progress
from localassist.store import jobs
from localassist.store import vector_stores as rows
from localassist.store.jobs import LostLease
from localassist.store.pages import PageQuery
from localassist.types.vector_store import (
    FileBatchCreateParams,
    VectorStoreFileCreateParams,
    VectorStoreFileUpdateParams,
    VectorStoreSearchParams,
    VectorStoreUpdateParams,
)
from tests.unit.resources.conftest import World

ASC = PageQuery(order="asc")
SMALL = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
WEEK = {"anchor": "last_active_at", "days": 7}


def search(query: str | list[str], **fields: Any) -> VectorStoreSearchParams:
    return VectorStoreSearchParams.model_validate({"query": query, **fields})


# --- stores ---


async def test_an_empty_store_has_the_recorded_shape(world: World) -> None:
    with clock.frozen(lambda: 1000):
        store = await world.store()

    assert store.model_dump() == {
        "id": store.id,
        "object": "vector_store",
        "created_at": 1000,
        "name": None,
        "description": None,
        "usage_bytes": 0,
        "file_counts": {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0},
        "status": "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": 1000,
        "metadata": {},
    }


async def test_a_store_with_files_is_in_progress_until_they_are_indexed(world: World) -> None:
    files = [await world.file(f"{n}.txt", f"text {n}") for n in range(3)]

    store = await world.store(*files, name="n", chunking_strategy=SMALL)
    await world.ingest_all()
    done = await world.vector_stores.retrieve(store.id)

    assert (store.status, store.usage_bytes) == ("in_progress", 0)
    assert (store.file_counts.in_progress, store.file_counts.total) == (3, 3)
    assert (done.status, done.file_counts.completed, done.usage_bytes) == ("completed", 3, 18)
    listed = (await world.vector_stores.list_files(store.id, ASC)).data
    assert [f.id for f in listed] == [f.id for f in files]
    assert {f.chunking_strategy.static.max_chunk_size_tokens for f in listed} == {100}


async def test_what_is_not_named_stays_and_null_empties(world: World) -> None:
    with clock.frozen(lambda: 1000):
        store = await world.store(name="n", metadata={"a": "b"}, expires_after=WEEK)

        same = await world.vector_stores.update(store.id, VectorStoreUpdateParams())
        empty = await world.vector_stores.update(
            store.id, VectorStoreUpdateParams(name=None, metadata=None, expires_after=None)
        )

    assert store.expires_at == 1000 + 7 * 86_400
    assert same == store
    assert (empty.name, empty.metadata, empty.expires_after, empty.expires_at) == (None, {}, None, None)


async def test_an_expired_store_is_listed_and_used_no_more(world: World) -> None:
    file = await world.file()
    store = await world.store(file, expires_after=WEEK)
    await world.ingest_all()

    later = clock.now() + 8 * 86_400
    with clock.frozen(lambda: later):
        shown = await world.vector_stores.retrieve(store.id)
        listed = await world.vector_stores.list_files(store.id, ASC)
        for call in (
            world.vector_stores.search(store.id, search("fox")),
            world.vector_stores.create_file(store.id, VectorStoreFileCreateParams(file_id=file.id)),
            world.vector_stores.create_batch(store.id, FileBatchCreateParams(file_ids=[file.id])),
        ):
            with pytest.raises(BadRequestError, match=f"Vector store {store.id} has expired"):
                await call

    assert shown.status == "expired"
    assert [f.id for f in listed.data] == [file.id]


async def test_a_deleted_store_is_not_found_and_its_files_stay(world: World) -> None:
    file = await world.file()
    store = await world.store(file)
    job = await world.claim_file()

    deleted = await world.vector_stores.delete(store.id)

    with pytest.raises(LostLease):
        await world.vector_stores.ingest(job)
    assert deleted.model_dump() == {"id": store.id, "object": "vector_store.deleted", "deleted": True}
    assert await world.files.retrieve(file.id) == file
    for call in (
        world.vector_stores.retrieve(store.id),
        world.vector_stores.delete(store.id),
        world.vector_stores.update(store.id, VectorStoreUpdateParams()),
        world.vector_stores.search(store.id, search("fox")),
        world.vector_stores.list_files(store.id, ASC),
        world.vector_stores.retrieve_file(store.id, file.id),
        world.vector_stores.retrieve_batch(store.id, "vsfb_none"),
        world.vector_stores.create_file(store.id, VectorStoreFileCreateParams(file_id=file.id)),
    ):
        with pytest.raises(NotFoundError, match=f"No vector store found with id '{store.id}'."):
            await call


# --- files ---


async def test_a_file_is_queued_with_the_recorded_shape(world: World) -> None:
    store, file = await world.store(), await world.file()

    with clock.frozen(lambda: 1000):
        added = await world.vector_stores.create_file(store.id, VectorStoreFileCreateParams(file_id=file.id))

    assert added.model_dump() == {
        "id": file.id,
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": 1000,
        "vector_store_id": store.id,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
        },
        "attributes": {},
    }
    assert world.calls[-1] == "ingest"


async def test_files_that_cannot_be_added_are_refused_together(world: World) -> None:
    store, fine = await world.store(), await world.file()
    images = [await world.file(name) for name in ("a.png", "b.MP3", "noext")]

    with pytest.raises(NotFoundError, match=r"^Files \[file-x, file-y\] were not found$") as absent:
        await world.vector_stores.create_batch(store.id, FileBatchCreateParams(file_ids=[fine.id, "file-x", "file-y"]))
    with pytest.raises(BadRequestError, match=r"extensions \[none, \.mp3, \.png\] are not supported") as unsupported:
        await world.vector_stores.create_batch(
            store.id, FileBatchCreateParams(file_ids=[fine.id, *(f.id for f in images)])
        )

    assert (absent.value.status, absent.value.param) == (404, "file_ids")
    assert (unsupported.value.code, unsupported.value.param) == ("unsupported_file", "file_ids")
    assert (await world.vector_stores.retrieve(store.id)).file_counts.total == 0


async def test_an_indexed_file_carries_its_report(world: World) -> None:
    file = await world.file(text="The quick brown fox.")
    store = await world.store(file)

    await world.ingest_all()
    done = await world.vector_stores.retrieve_file(store.id, file.id)

    assert (done.status, done.last_error, done.usage_bytes) == ("completed", None, 20)
    assert done.report is not None
    assert (done.report.parser, done.report.characters, done.report.chunks) == ("plain", 20, 1)
    assert {file_id for file_id, _ in world.progress} == {file.id}
    assert world.progress[0][1].stage == "parse"
    assert world.progress[-1][1] == Progress("write", 1, 1)


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("broken.pdf", "invalid_file", r"^The file is damaged\.$"),
        ("fault.txt", "server_error", "Please report it"),
        ("setting.txt", "server_error", "There is no embedding model 'nope'."),
    ],
)
async def test_a_file_that_cannot_be_indexed_says_why(world: World, name: str, code: str, message: str) -> None:
    bad, good = await world.file(name), await world.file("good.txt")
    store = await world.store(bad, good)

    await world.ingest_all()

    failed = await world.vector_stores.retrieve_file(store.id, bad.id)
    assert (failed.status, failed.usage_bytes) == ("failed", 0)
    assert failed.last_error is not None
    assert failed.last_error.code == code
    assert re.search(message, failed.last_error.message)
    counts = (await world.vector_stores.retrieve(store.id)).file_counts
    assert (counts.failed, counts.completed, counts.in_progress) == (1, 1, 0)
    only = await world.vector_stores.list_files(store.id, ASC, "failed")
    assert [f.id for f in only.data] == [bad.id]


async def test_a_file_whose_bytes_are_gone_says_so(world: World) -> None:
    file = await world.file()
    store = await world.store(file)
    for path in (world.home / "files").rglob("*"):
        if path.is_file():
            path.unlink()

    await world.ingest_all()

    failed = await world.vector_stores.retrieve_file(store.id, file.id)
    assert failed.last_error is not None
    assert failed.last_error.message == "The bytes of this file are missing from the disk. Upload it again."


async def test_the_content_of_a_file_is_its_text(world: World) -> None:
    file, waiting = await world.file(text="The quick brown fox."), await world.file("b.txt")
    store = await world.store(file)
    await world.ingest_all()
    await world.vector_stores.create_file(store.id, VectorStoreFileCreateParams(file_id=waiting.id))

    page = await world.vector_stores.file_content(store.id, file.id)

    assert page.model_dump() == {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": "The quick brown fox."}],
        "has_more": False,
        "next_page": None,
    }
    with pytest.raises(BadRequestError, match="has status 'in_progress'; only a completed file has content"):
        await world.vector_stores.file_content(store.id, waiting.id)


async def test_a_file_that_is_removed_is_found_no_more_and_stays_a_file(world: World) -> None:
    file = await world.file()
    store = await world.store(file)
    await world.ingest_all()
    assert (await world.vector_stores.search(store.id, search("fox"))).data

    deleted = await world.vector_stores.delete_file(store.id, file.id)

    assert deleted.model_dump() == {"id": file.id, "object": "vector_store.file.deleted", "deleted": True}
    assert (await world.vector_stores.search(store.id, search("fox"))).data == []
    assert await world.files.retrieve(file.id) == file
    message = f"No file found with id '{file.id}' in vector store '{store.id}'."
    for call in (
        world.vector_stores.retrieve_file(store.id, file.id),
        world.vector_stores.delete_file(store.id, file.id),
        world.vector_stores.file_content(store.id, file.id),
        world.vector_stores.update_file(store.id, file.id, VectorStoreFileUpdateParams(attributes={})),
    ):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.message == message


# --- searches ---


async def test_a_passage_is_found_with_its_place(world: World) -> None:
    fox = await world.file("fox.txt", "The quick brown fox jumps over the lazy dog.")
    store = await world.store(fox, await world.file("sea.txt", "Whales sing in the cold sea."))
    await world.ingest_all()

    page = await world.vector_stores.search(store.id, search("brown fox", max_num_results=1))

    (hit,) = page.data
    assert page.search_query == ["brown fox"]
    assert (hit.file_id, hit.filename, hit.start_index, hit.end_index) == (fox.id, "fox.txt", 0, 44)
    assert [part.text for part in hit.content] == ["The quick brown fox jumps over the lazy dog."]
    assert 0 < hit.score <= 1


async def test_attributes_filter_and_their_change_is_seen_at_once(world: World) -> None:
    files = [await world.file(f"{n}.txt", f"fox {n}") for n in range(3)]
    batch = [{"file_id": f.id, "attributes": {"year": float(n)}} for n, f in enumerate(files)]
    store = await world.store()
    await world.vector_stores.create_batch(store.id, FileBatchCreateParams.model_validate({"files": batch}))
    await world.ingest_all()
    recent = search("fox", filters={"type": "gte", "key": "year", "value": 1})

    before = await world.vector_stores.search(store.id, recent)
    await world.vector_stores.update_file(
        store.id, files[0].id, VectorStoreFileUpdateParams(attributes={"year": 9.0, "kind": "x"})
    )
    after = await world.vector_stores.search(store.id, recent)

    assert {hit.file_id for hit in before.data} == {files[1].id, files[2].id}
    assert {hit.file_id for hit in after.data} == {f.id for f in files}
    assert next(h for h in after.data if h.file_id == files[0].id).attributes == {"year": 9.0, "kind": "x"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"filters": {"type": "like", "key": "a", "value": "b"}}, "filters"),
        (
            {"ranking_options": {"hybrid_search": {"embedding_weight": 0.0, "text_weight": 0.0}}},
            "ranking_options.hybrid_search",
        ),
    ],
)
async def test_a_search_that_means_nothing_is_refused(world: World, fields: Any, param: str) -> None:
    store = await world.store()

    with pytest.raises(BadRequestError) as caught:
        await world.vector_stores.search(store.id, search("fox", **fields))

    assert caught.value.param == param


async def test_queries_are_ranked_together_and_the_threshold_holds(world: World) -> None:
    store = await world.store(
        await world.file("a.txt", "The brown fox."), await world.file("b.txt", "Whales in the sea.")
    )
    await world.ingest_all()

    both = await world.vector_stores.search(store.id, search(["brown fox", "whales sea"]))
    weighted = await world.vector_stores.search(
        store.id,
        search("fox", ranking_options={"hybrid_search": {"embedding_weight": 1.0, "text_weight": 2.0}}),
    )
    strict = await world.vector_stores.search(
        store.id, search("unrelated words", ranking_options={"score_threshold": 1.0})
    )

    assert {hit.filename for hit in both.data} == {"a.txt", "b.txt"}
    assert weighted.data[0].filename == "a.txt"
    assert strict.data == []


async def test_a_search_puts_off_the_expiry(world: World) -> None:
    store = await world.store(expires_after=WEEK)

    later = clock.now_s() + 3600
    with clock.frozen(lambda: later):
        await world.vector_stores.search(store.id, search("fox"))

    assert (await world.vector_stores.retrieve(store.id)).expires_at == later + 7 * 86_400


# --- batches ---


async def test_a_batch_has_the_recorded_shape_and_lists_its_own_files(world: World) -> None:
    first, *others = [await world.file(f"{n}.txt", f"text {n}") for n in range(4)]
    store = await world.store(first)

    with clock.frozen(lambda: 1000):
        batch = await world.vector_stores.create_batch(
            store.id, FileBatchCreateParams(file_ids=[f.id for f in others], attributes={"a": True})
        )
    await world.ingest_all()
    done = await world.vector_stores.retrieve_batch(store.id, batch.id)

    assert batch.model_dump() == {
        "id": batch.id,
        "object": "vector_store.file_batch",
        "created_at": 1000,
        "status": "in_progress",
        "vector_store_id": store.id,
        "file_counts": {"in_progress": 3, "completed": 0, "failed": 0, "cancelled": 0, "total": 3},
    }
    assert (done.status, done.file_counts.completed) == ("completed", 3)
    page = await world.vector_stores.list_batch_files(store.id, batch.id, PageQuery(limit=2, order="asc"))
    assert ([f.id for f in page.data], page.has_more) == ([f.id for f in others[:2]], True)
    assert page.data[0].attributes == {"a": True}
    failed = await world.vector_stores.list_batch_files(store.id, batch.id, ASC, "failed")
    assert failed.data == []


async def test_a_file_that_a_batch_names_twice_is_one_file(world: World) -> None:
    store, file = await world.store(), await world.file()

    batch = await world.vector_stores.create_batch(store.id, FileBatchCreateParams(file_ids=[file.id, file.id]))

    assert batch.file_counts.total == 1


async def test_a_cancelled_batch_leaves_out_what_was_not_begun(world: World) -> None:
    store = await world.store()
    files = [await world.file(f"{n}.txt", f"text {n}") for n in range(3)]
    batch = await world.vector_stores.create_batch(store.id, FileBatchCreateParams(file_ids=[f.id for f in files]))
    begun = await world.claim_file()

    cancelled = await world.vector_stores.cancel_batch(store.id, batch.id)
    await world.vector_stores.ingest(begun)
    again = await world.vector_stores.cancel_batch(store.id, batch.id)

    assert (cancelled.status, cancelled.file_counts.cancelled, cancelled.file_counts.in_progress) == ("cancelled", 2, 1)
    assert (again.status, again.file_counts.completed, again.file_counts.cancelled) == ("cancelled", 1, 2)


async def test_a_batch_that_has_ended_stays_as_it_is(world: World) -> None:
    store, file = await world.store(), await world.file()
    batch = await world.vector_stores.create_batch(store.id, FileBatchCreateParams(file_ids=[file.id]))
    await world.ingest_all()

    cancelled = await world.vector_stores.cancel_batch(store.id, batch.id)

    assert cancelled.status == "completed"
    other = await world.store()
    with pytest.raises(NotFoundError, match=f"No file batch found with id '{batch.id}' in vector store '{other.id}'."):
        await world.vector_stores.retrieve_batch(other.id, batch.id)


# --- the work, when things happen meanwhile ---


@dataclass
class Bench:
    """Prepares nothing: waits until it is told to go on, reporting progress meanwhile."""

    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def prepare(
        self,
        path: Path,
        *,
        file_name: str,
        content_hash: str,
        chunking: ChunkingStrategy,
        progress: Any = None,
    ) -> tuple[str, IngestReport]:
        try:
            while not self.go_on.wait(0.005):
                self.begun.set()
                progress(Progress("embed", 0, 1))
        except Exception:
            self.stopped.set()
            raise
        return f"{content_hash}-v-c", IngestReport("plain", 0, 0, 1, 1, 1, reused_vectors=False)


def ingestion(world: World, bench: Bench, *, lease_s: float = 10.0) -> Ingestion:
    return Ingestion(db=world.db, blobs=world.blobs, retriever=bench, lease_s=lease_s)


async def test_a_file_that_is_removed_while_it_is_indexed_does_not_come_back(world: World) -> None:
    file, bench = await world.file(), Bench()
    store = await world.store(file)
    work = asyncio.create_task(ingestion(world, bench).carry_out(await world.claim_file()))
    await asyncio.to_thread(bench.begun.wait)

    await world.vector_stores.delete_file(store.id, file.id)
    bench.go_on.set()

    with pytest.raises(LostLease):
        await work
    assert (await world.vector_stores.retrieve(store.id)).file_counts.total == 0
    assert await world.db.read(lambda conn: rows.indexed_files(conn, store.id)) == []


async def test_a_file_that_is_added_again_meanwhile_waits_for_its_own_turn(world: World) -> None:
    file, bench = await world.file(), Bench()
    store = await world.store(file)
    work = asyncio.create_task(ingestion(world, bench).carry_out(await world.claim_file()))
    await asyncio.to_thread(bench.begun.wait)

    await world.vector_stores.create_file(
        store.id, VectorStoreFileCreateParams(file_id=file.id, attributes={"second": True})
    )
    bench.go_on.set()

    with pytest.raises(LostLease):
        await work
    again = await world.vector_stores.retrieve_file(store.id, file.id)
    assert (again.status, again.attributes) == ("in_progress", {"second": True})


async def test_work_that_is_cancelled_stops_and_gives_the_file_back(world: World) -> None:
    file, bench = await world.file(), Bench()
    await world.store(file)
    work = asyncio.create_task(ingestion(world, bench).carry_out(await world.claim_file()))
    await asyncio.to_thread(bench.begun.wait)

    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work

    assert await asyncio.to_thread(bench.stopped.wait, 5)
    assert (await world.claim_file()).file_id == file.id


async def test_a_lease_is_kept_while_the_work_goes_on(world: World) -> None:
    file, bench = await world.file(), Bench()
    store = await world.store(file)
    job = await world.db.write(lambda conn: jobs.claim_file(conn, new_id("worker"), clock.now(), 0.3))
    assert job is not None
    renewed_until = clock.now() + 0.6
    work = asyncio.create_task(ingestion(world, bench, lease_s=0.3).carry_out(job))
    await asyncio.to_thread(bench.begun.wait)

    while clock.now() < renewed_until:
        assert await world.db.write(lambda conn: jobs.claim_file(conn, "other", clock.now(), 1)) is None
    bench.go_on.set()
    await work

    assert (await world.vector_stores.retrieve_file(store.id, file.id)).status == "completed"


async def test_a_lost_lease_stops_the_work_and_nothing_is_written(world: World) -> None:
    file, bench = await world.file(), Bench()
    store = await world.store(file)
    job = await world.claim_file()
    work = asyncio.create_task(ingestion(world, bench, lease_s=0.03).carry_out(job))
    await asyncio.to_thread(bench.begun.wait)

    later = clock.now() + 60
    taken = await world.db.write(lambda conn: jobs.claim_file(conn, "other", later, 60))

    with pytest.raises(LostLease):
        await work
    assert taken is not None
    assert await asyncio.to_thread(bench.stopped.wait, 5)
    assert (await world.vector_stores.retrieve_file(store.id, file.id)).status == "in_progress"
