"""File contents on disk, addressed by their SHA-256, written atomically.

A content is there whole or not at all: it is written under a temporary name, synced, and then renamed. The same bytes
are kept once, however many files have them.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, ParamSpec, TypeVar

from localassist import clock
from localassist.errors import InternalServerError, PayloadTooLargeError
from localassist.ids import new_id

P = ParamSpec("P")
T = TypeVar("T")

_READ_BYTES: Final = 1024 * 1024
_ABANDONED_S: Final = 86_400.0


class Blobs:
    """The contents in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made with the first content."""
        self._folder = folder
        self._unfinished = folder / "unfinished"

    async def write(self, chunks: AsyncIterator[bytes], *, max_bytes: int) -> tuple[str, int]:
        """Keep a content; nothing is left behind when that fails or is cancelled.

        Args:
            chunks: the bytes, in pieces of any size.
            max_bytes: how many there may be.

        Returns:
            The SHA-256 in hexadecimal digits, and the size in bytes.

        Raises:
            PayloadTooLargeError: there are more than `max_bytes`.
            InternalServerError: the disk is full or cannot be written.
        """
        sha256, n_bytes = hashlib.sha256(), 0
        unfinished = self._unfinished / new_id("worker")
        file = await self._on_disk(_open_new, unfinished)
        try:
            async for chunk in chunks:
                n_bytes += len(chunk)
                if n_bytes > max_bytes:
                    raise PayloadTooLargeError(f"The file is larger than {max_bytes} bytes, the most allowed.")
                await self._on_disk(_add, file, sha256, chunk)
            await self._on_disk(_finish, file, unfinished, self.path(sha256.hexdigest()))
        finally:
            _discard(file, unfinished)
        return sha256.hexdigest(), n_bytes

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        """Give a content in pieces; once the first piece is there, deleting the content does not cut it.

        Raises:
            InternalServerError: there is no such content.
        """
        try:
            file = await asyncio.to_thread(self.path(sha256).open, "rb")
        except FileNotFoundError as error:
            raise InternalServerError(f"The contents {sha256} are missing from {self._folder}.") from error
        with file:
            while chunk := await asyncio.to_thread(file.read, _READ_BYTES):
                yield chunk

    def path(self, sha256: str) -> Path:
        """Give the place of a content on disk, whether it is there or not."""
        return self._folder / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        """Tell whether a content is there."""
        return self.path(sha256).is_file()

    async def delete(self, sha256: str) -> bool:
        """Delete a content; False when it is not there."""

        def unlink() -> bool:
            try:
                self.path(sha256).unlink()
            except FileNotFoundError:
                return False
            return True

        return await asyncio.to_thread(unlink)

    async def sweep(self) -> int:
        """Delete what a killed process left unfinished more than a day ago; give the number."""
        return await asyncio.to_thread(self._sweep)

    async def _on_disk(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await asyncio.to_thread(step, *args, **kwargs)
        except OSError as error:
            raise InternalServerError(f"The file could not be stored in {self._folder}: {error.strerror}.") from error

    def _sweep(self) -> int:
        n_swept = 0
        for unfinished in self._unfinished.glob("*"):
            try:
                if unfinished.stat().st_mtime < clock.now() - _ABANDONED_S:
                    unfinished.unlink()
                    n_swept += 1
            except FileNotFoundError:
                pass  # another process swept it, or it was finished
        return n_swept


def _open_new(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def _add(file: IO[bytes], sha256: "hashlib._Hash", chunk: bytes) -> None:
    sha256.update(chunk)
    file.write(chunk)


def _discard(file: IO[bytes], unfinished: Path) -> None:
    try:
        file.close()  # writes what is still in its buffer, which fails again on a full disk
    except OSError:
        pass  # the reason is already on its way
    with suppress(FileNotFoundError):  # it was renamed
        unfinished.unlink()


def _finish(file: IO[bytes], unfinished: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(exist_ok=True)
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name as well
    finally:
        os.close(folder)
