"""Files: their bytes, their end, and what is swept away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist import clock
from localassist.errors import BadRequestError, InternalServerError, NotFoundError, PayloadTooLargeError
from localassist.resources.files import base_name
from localassist.store.pages import PageQuery
from localassist.types.file import FileExpiresAfter
from localassist.types.vector_store import VectorStoreSearchParams
from tests.unit.resources.conftest import World, pieces

ASC = PageQuery(order="asc")


async def bytes_of(world: World, file_id: str) -> bytes:
    _, chunks = await world.files.content(file_id)
    return b"".join([chunk async for chunk in chunks])


def blobs_in(world: World) -> list[Path]:
    return [path for path in (world.home / "files").rglob("*") if path.is_file()]


async def test_an_upload_has_the_recorded_shape_and_comes_back_byte_for_byte(world: World) -> None:
    with clock.frozen(lambda: 1000):
        file = await world.files.create("résumé.txt", "assistants", pieces(b"ab", b"", b"\x00c"))

    assert file.model_dump() == {
        "object": "file",
        "id": file.id,
        "purpose": "assistants",
        "filename": "résumé.txt",
        "bytes": 4,
        "created_at": 1000,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
    assert await bytes_of(world, file.id) == b"ab\x00c"
    assert await world.files.retrieve(file.id) == file


async def test_an_unknown_purpose_is_refused_in_the_recorded_words(world: World) -> None:
    with pytest.raises(BadRequestError) as caught:
        await world.files.create("a.txt", "world_domination", pieces(b"x"))

    assert caught.value.message == (
        "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] "
        "- 'purpose'"
    )
    assert caught.value.param == "purpose"
    assert blobs_in(world) == []


@pytest.mark.parametrize("purpose", ["assistants_output", "batch_output", "fine-tune-results"])
async def test_purposes_of_the_service_itself_are_not_a_clients(world: World, purpose: str) -> None:
    with pytest.raises(BadRequestError, match="is not one of"):
        await world.files.create("a.txt", purpose, pieces(b"x"))


async def test_a_file_that_is_too_large_leaves_nothing_behind(world: World) -> None:
    await world.files.create("fits.txt", "assistants", pieces(b"x" * 1000))

    with pytest.raises(PayloadTooLargeError, match="larger than 1000 bytes"):
        await world.files.create("a.txt", "assistants", pieces(b"x" * 1000, b"y"))

    assert len(blobs_in(world)) == len((await world.files.list(ASC)).data) == 1


async def test_an_empty_file_is_kept(world: World) -> None:
    file = await world.files.create("empty.txt", "assistants", pieces())

    assert (file.bytes, await bytes_of(world, file.id)) == (0, b"")


async def test_files_are_listed_by_purpose(world: World) -> None:
    one = await world.files.create("1.png", "vision", pieces(b"1"))
    await world.files.create("2.txt", "assistants", pieces(b"2"))

    page = await world.files.list(ASC, "vision")

    assert [f.id for f in page.data] == [one.id]


async def test_bytes_stay_until_their_last_file_is_deleted(world: World) -> None:
    one, two = await world.file(text="same"), await world.file(text="same")

    deleted = await world.files.delete(one.id)
    kept = await bytes_of(world, two.id)
    await world.files.delete(two.id)

    assert deleted.model_dump() == {"id": one.id, "object": "file", "deleted": True}
    assert kept == b"same"
    assert blobs_in(world) == []
    for call in (world.files.retrieve(one.id), world.files.delete(one.id), world.files.content(one.id)):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert (caught.value.message, caught.value.param) == (f"No such File object: {one.id}", "id")


async def test_uploads_and_deletions_of_the_same_bytes_never_lose_a_files_bytes(world: World) -> None:
    """Whatever order they fall into: a file that is kept has its bytes."""
    first = [await world.file(text="same") for _ in range(4)]

    async def upload() -> str | None:
        try:
            return (await world.file(text="same")).id
        except InternalServerError:
            return None  # told to upload again

    await asyncio.gather(*(world.files.delete(file.id) for file in first), *(upload() for _ in range(12)))

    kept = (await world.files.list(ASC)).data
    assert [await bytes_of(world, file.id) for file in kept] == [b"same"] * len(kept)


async def test_a_deleted_file_is_found_by_no_search(world: World) -> None:
    file, other = await world.file("a.txt", "A brown fox."), await world.file("b.txt", "Another brown fox.")
    store = await world.store(file, other)
    await world.ingest_all()
    search = VectorStoreSearchParams(query="brown fox")
    before = await world.vector_stores.search(store.id, search)

    await world.files.delete(file.id)
    after = await world.vector_stores.search(store.id, search)

    assert {hit.file_id for hit in before.data} == {file.id, other.id}
    assert {hit.file_id for hit in after.data} == {other.id}
    assert (await world.vector_stores.retrieve(store.id)).file_counts.total == 1


async def test_a_file_that_has_expired_is_swept_with_everything_made_of_it(world: World) -> None:
    expiring = await world.file("a.txt", "first", expires_after=FileExpiresAfter(anchor="created_at", seconds=3600))
    staying = await world.file("b.txt", "second")
    store = await world.store(expiring, staying)
    await world.ingest_all()

    later = clock.now() + 7201
    await world.files.sweep()
    assert len((await world.files.list(ASC)).data) == 2
    with clock.frozen(lambda: later):
        await world.files.sweep()

    assert [f.id for f in (await world.files.list(ASC)).data] == [staying.id]
    assert len(blobs_in(world)) == 1
    contents = [path for path in (world.home / "index" / "content").iterdir() if path.name != "temporary"]
    assert len([path for path in contents if path.is_dir() and any(path.rglob("text"))]) == 1
    hits = await world.vector_stores.search(store.id, VectorStoreSearchParams(query="second"))
    assert {hit.file_id for hit in hits.data} == {staying.id}


async def test_bytes_that_are_missing_from_the_disk_are_an_error_in_words(world: World) -> None:
    file = await world.file()
    for path in blobs_in(world):
        path.unlink()

    with pytest.raises(InternalServerError, match="missing from the disk"):
        await world.files.content(file.id)


async def test_an_upload_that_breaks_off_leaves_nothing_behind(world: World) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ConnectionResetError

    with pytest.raises((ConnectionResetError, InternalServerError)):
        await world.files.create("a.txt", "assistants", broken())

    assert blobs_in(world) == []
    assert (await world.files.list(ASC)).data == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None)))
def test_a_file_name_has_no_folder_and_can_be_stored(name: str) -> None:
    base = base_name(name)

    assert base
    assert not set(base) & set("/\\\0\n")
    assert base.encode("utf-8").decode("utf-8") == base
