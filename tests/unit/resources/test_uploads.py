"""Uploads: parts in any order, one file in the end, and nothing left behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist import clock
from localassist.errors import BadRequestError, NotFoundError, PayloadTooLargeError
from localassist.resources import Uploads
from localassist.store import uploads as rows
from localassist.store.blobs import Blobs
from localassist.store.pages import PageQuery
from localassist.types.upload import UploadCompleteParams, UploadCreateParams
from tests.unit.resources.conftest import World, pieces


@pytest.fixture
def uploads(world: World) -> Uploads:
    return Uploads(db=world.db, blobs=world.blobs, max_part_bytes=100, max_upload_bytes=250)


def blobs_in(world: World) -> list[Path]:
    return [path for path in (world.home / "files").rglob("*") if path.is_file()]


def announced(n_bytes: int, **fields: object) -> UploadCreateParams:
    body = {"filename": "a.txt", "purpose": "assistants", "bytes": n_bytes, "mime_type": "text/plain", **fields}
    return UploadCreateParams.model_validate(body)


async def sent(uploads: Uploads, *parts: bytes, n_bytes: int | None = None) -> tuple[str, list[str]]:
    upload = await uploads.create(announced(sum(map(len, parts)) if n_bytes is None else n_bytes))
    return upload.id, [(await uploads.add_part(upload.id, pieces(part))).id for part in parts]


async def test_an_upload_has_the_recorded_shape_before_and_after_it_is_completed(
    uploads: Uploads, world: World
) -> None:
    with clock.frozen(lambda: 1000):
        upload = await uploads.create(announced(3, filename="dir/é.jsonl", purpose="fine-tune"))
        part = await uploads.add_part(upload.id, pieces(b"abc"))
        done = await uploads.complete(upload.id, UploadCompleteParams(part_ids=[part.id]))

    pending = {
        "id": upload.id, "object": "upload", "bytes": 3, "created_at": 1000, "filename": "é.jsonl",
        "purpose": "fine-tune", "status": "pending", "expires_at": 4600,
    }  # fmt: skip
    assert (upload.shown(), list(upload.shown())) == (pending, list(pending))
    assert part.model_dump() == {
        "id": part.id, "object": "upload.part", "created_at": 1000, "upload_id": upload.id,
    }  # fmt: skip
    assert done.file is not None
    assert done.shown() == {**pending, "status": "completed", "file": done.file.model_dump()}
    assert (done.file.bytes, done.file.created_at, done.file.expires_at) == (3, 1000, None)
    assert await world.files.retrieve(done.file.id) == done.file


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
async def test_any_order_of_any_parts_is_the_file(uploads: Uploads, world: World, data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
    order = data.draw(st.permutations(range(len(parts))))
    whole = b"".join(parts[n] for n in order)
    upload_id, part_ids = await sent(uploads, *parts)

    params = UploadCompleteParams(part_ids=[part_ids[n] for n in order], md5=hashlib.md5(whole).hexdigest())
    done = await uploads.complete(upload_id, params)

    assert done.file is not None
    _, chunks = await world.files.content(done.file.id)
    assert b"".join([chunk async for chunk in chunks]) == whole
    await world.files.delete(done.file.id)
    assert blobs_in(world) == []


async def test_parts_may_come_at_the_same_time(uploads: Uploads, world: World) -> None:
    upload = await uploads.create(announced(40))
    data = [bytes([n]) * 10 for n in range(4)]

    parts = await asyncio.gather(*(uploads.add_part(upload.id, pieces(each)) for each in data))
    done = await uploads.complete(upload.id, UploadCompleteParams(part_ids=[p.id for p in reversed(parts)]))

    assert done.file is not None
    _, chunks = await world.files.content(done.file.id)
    assert b"".join([chunk async for chunk in chunks]) == b"".join(reversed(data))


async def test_a_cancelled_upload_leaves_nothing_on_the_disk_but_what_files_have(
    uploads: Uploads, world: World
) -> None:
    file = await world.file("kept.txt", "shared")
    upload_id, part_ids = await sent(uploads, b"own", b"shared")

    cancelled = await uploads.cancel(upload_id)

    assert (cancelled.status, cancelled.shown().get("file", "absent")) == ("cancelled", "absent")
    assert len(blobs_in(world)) == 1
    _, chunks = await world.files.content(file.id)
    assert b"".join([chunk async for chunk in chunks]) == b"shared"
    for refused in (
        uploads.add_part(upload_id, pieces(b"late")),
        uploads.complete(upload_id, UploadCompleteParams(part_ids=part_ids)),
        uploads.cancel(upload_id),
    ):
        with pytest.raises(BadRequestError, match=r"Cannot .* upload with status 'cancelled'"):
            await refused
    assert len(blobs_in(world)) == 1


async def test_deleting_a_file_leaves_the_same_bytes_of_a_part(uploads: Uploads, world: World) -> None:
    file = await world.file("a.txt", "shared")
    upload_id, part_ids = await sent(uploads, b"shared")

    await world.files.delete(file.id)
    done = await uploads.complete(upload_id, UploadCompleteParams(part_ids=part_ids))

    assert done.status == "completed"


async def test_a_part_that_comes_while_its_upload_is_cancelled_is_not_kept(uploads: Uploads, world: World) -> None:
    upload = await uploads.create(announced(3))
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"ab"
        arrived.set()
        await go_on.wait()
        yield b"c"

    adding = asyncio.create_task(uploads.add_part(upload.id, slowly()))
    await arrived.wait()
    await uploads.cancel(upload.id)
    go_on.set()

    with pytest.raises(BadRequestError, match="Cannot add a part to upload with status 'cancelled'"):
        await adding
    assert blobs_in(world) == []


async def test_what_was_announced_must_be_what_came(uploads: Uploads, world: World) -> None:
    upload_id, part_ids = await sent(uploads, b"ab", b"c", n_bytes=4)

    for given_ids, words in (
        (part_ids, "The parts have 3 bytes together, but 'bytes' of the upload is 4"),
        ([part_ids[0], "part_none"], "No part found with id 'part_none' in upload 'upload_"),
    ):
        with pytest.raises(BadRequestError, match=words):
            await uploads.complete(upload_id, UploadCompleteParams(part_ids=given_ids))
    with pytest.raises(BadRequestError, match="The MD5 of the parts is") as caught:
        await uploads.complete(upload_id, UploadCompleteParams(part_ids=[part_ids[0], part_ids[0]], md5="0" * 32))
    assert caught.value.param == "md5"
    assert (await world.files.list(PageQuery())).data == []
    done = await uploads.complete(upload_id, UploadCompleteParams(part_ids=[part_ids[0], part_ids[0]]))
    assert done.status == "completed"  # a refusal ends nothing


async def test_parts_of_another_upload_are_not_its_own(uploads: Uploads) -> None:
    _, part_ids = await sent(uploads, b"ab")
    other, _ = await sent(uploads, b"ab")

    with pytest.raises(BadRequestError, match="No part found"):
        await uploads.complete(other, UploadCompleteParams(part_ids=part_ids))


async def test_too_large_a_part_and_too_many_parts_are_refused(uploads: Uploads, world: World) -> None:
    upload = await uploads.create(announced(250))
    with pytest.raises(PayloadTooLargeError):
        await uploads.add_part(upload.id, pieces(b"x" * 100, b"y"))
    for letter in (b"a", b"b"):
        await uploads.add_part(upload.id, pieces(letter * 100))
    with pytest.raises(BadRequestError, match="larger than 250 bytes together"):
        await uploads.add_part(upload.id, pieces(b"c" * 100))
    assert len(blobs_in(world)) == 2


async def test_an_upload_expires_after_an_hour_and_is_swept(uploads: Uploads, world: World) -> None:
    with clock.frozen(lambda: 1000):
        upload_id, part_ids = await sent(uploads, b"abc")
    with clock.frozen(lambda: 4600), pytest.raises(BadRequestError, match="with status 'expired'"):
        await uploads.complete(upload_id, UploadCompleteParams(part_ids=part_ids))

    with clock.frozen(lambda: 4599):
        await uploads.sweep()
        assert len(blobs_in(world)) == 1
    with clock.frozen(lambda: 4601):
        await uploads.sweep()
        assert blobs_in(world) == []
        with pytest.raises(BadRequestError, match="Cannot cancel upload with status 'expired'"):
            await uploads.cancel(upload_id)
    with clock.frozen(lambda: 4601 + 86_400):
        await uploads.sweep()
        with pytest.raises(NotFoundError, match="No upload found with id"):
            await uploads.cancel(upload_id)


async def test_the_sweep_finishes_what_a_killed_process_began(uploads: Uploads, world: World) -> None:
    upload_id, _ = await sent(uploads, b"abc", b"def")
    sha256, _ = await world.blobs.write(pieces(b"abcdef"), max_bytes=6)
    await world.db.write(lambda conn: rows.set_sha256(conn, upload_id, sha256))  # killed while it joined
    upload = await world.db.read(lambda conn: rows.get(conn, upload_id))
    assert upload is not None
    ended = upload.model_copy(update={"status": "cancelled"})
    await world.db.write(lambda conn: rows.replace(conn, ended))  # killed before it deleted

    await uploads.sweep()

    assert blobs_in(world) == []


async def test_of_two_that_complete_at_once_one_makes_the_file(uploads: Uploads, world: World) -> None:
    upload_id, part_ids = await sent(uploads, b"abc", b"def")
    params = UploadCompleteParams(part_ids=part_ids)

    results = await asyncio.gather(*(uploads.complete(upload_id, params) for _ in range(4)), return_exceptions=True)

    refused = [r for r in results if isinstance(r, BaseException)]
    assert [str(r) for r in refused] == ["Cannot complete upload with status 'completed'."] * 3
    assert len((await world.files.list(PageQuery())).data) == 1
    assert len(blobs_in(world)) == 1


@pytest.mark.parametrize("parts_were_read", [False, True])
async def test_an_upload_that_is_cancelled_while_it_is_joined_leaves_nothing(
    world: World, *, parts_were_read: bool
) -> None:
    class Slow(Blobs):
        async def write(self, chunks: AsyncIterator[bytes], *, max_bytes: int) -> tuple[str, int]:
            if max_bytes == 6:
                read = [chunk async for chunk in chunks] if parts_were_read else None
                await uploads.cancel(upload_id)
                chunks = chunks if read is None else pieces(*read)
            return await super().write(chunks, max_bytes=max_bytes)

    uploads = Uploads(db=world.db, blobs=Slow(world.home / "files"), max_part_bytes=100)
    upload_id, part_ids = await sent(uploads, b"abc", b"def")

    with pytest.raises(BadRequestError, match="Cannot complete upload with status 'cancelled'"):
        await uploads.complete(upload_id, UploadCompleteParams(part_ids=part_ids))

    assert blobs_in(world) == []


async def test_the_files_expiry_counts_from_the_upload(uploads: Uploads) -> None:
    with clock.frozen(lambda: 1000):
        upload = await uploads.create(announced(0, expires_after={"anchor": "created_at", "seconds": 3600}))
        done = await uploads.complete(upload.id, UploadCompleteParams(part_ids=[]))

    assert done.file is not None
    assert (done.file.bytes, done.file.expires_at) == (0, 4600)


async def test_a_purpose_that_does_not_exist_is_refused(uploads: Uploads) -> None:
    with pytest.raises(BadRequestError, match="is not one of"):
        await uploads.create(announced(1, purpose="world_domination"))
