import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist import clock
from localassist.errors import InternalServerError, PayloadTooLargeError
from localassist.store.blobs import Blobs


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(blobs: Blobs, sha256: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(sha256)])


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=9), max_size=5))
async def test_what_was_written_is_read_whatever_its_pieces(tmp_path: Path, chunks: Sequence[bytes]) -> None:
    blobs, whole = Blobs(tmp_path / "files"), b"".join(chunks)

    sha256, n_bytes = await blobs.write(stream(*chunks), max_bytes=len(whole))

    assert (sha256, n_bytes) == (hashlib.sha256(whole).hexdigest(), len(whole))
    assert await content(blobs, sha256) == whole == blobs.path(sha256).read_bytes()


async def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    first = await blobs.write(stream(b"ab", b"c"), max_bytes=9)
    second = await blobs.write(stream(b"abc"), max_bytes=9)

    assert first == second
    assert files_in(tmp_path) == [blobs.path(first[0])]


async def test_too_many_bytes_are_refused_before_the_rest_is_read_and_leave_nothing(tmp_path: Path) -> None:
    seen = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            seen.append(1)
            yield b"1234"

    with pytest.raises(PayloadTooLargeError, match="larger than 9 bytes"):
        await Blobs(tmp_path).write(endless(), max_bytes=9)

    assert len(seen) == 3
    assert files_in(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        await Blobs(tmp_path).write(broken(), max_bytes=9)

    assert files_in(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be", encoding="utf-8")

    with pytest.raises(InternalServerError, match=r"could not be stored in .*files: Not a directory"):
        await Blobs(tmp_path / "files").write(stream(b"a"), max_bytes=9)


async def test_a_deleted_content_is_gone_but_not_for_those_who_read_it(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    sha256, _ = await blobs.write(stream(b"a" * 3_000_000), max_bytes=3_000_000)
    reading = blobs.read(sha256)
    first = await anext(reading)

    assert blobs.has(sha256)
    assert await blobs.delete(sha256)
    assert not blobs.has(sha256)
    assert not await blobs.delete(sha256)
    assert len(first) + sum([len(chunk) async for chunk in reading]) == 3_000_000
    with pytest.raises(InternalServerError, match=f"The contents {sha256} are missing"):
        await content(blobs, sha256)


async def test_only_what_was_abandoned_long_ago_is_swept(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    sha256, _ = await blobs.write(stream(b"kept"), max_bytes=9)
    old, young = tmp_path / "unfinished" / "old", tmp_path / "unfinished" / "young"
    for path, modified in ((old, 1_000), (young, 90_000)):
        path.write_bytes(b"half")
        os.utime(path, (modified, modified))

    with clock.frozen(lambda: 100_000.0):
        assert await blobs.sweep() == 1

    assert (old.exists(), young.exists(), blobs.has(sha256)) == (False, True, True)
