"""Uploads: files sent in parts, which may come at the same time and in any order.

A part is kept like a file, by its content, and named by a row. When the upload is completed its parts are read once to
check them and once to join them; never is more than a piece of a part in memory. Until then the disk holds the parts,
and while they are joined both.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from localassist import clock
from localassist.errors import BadRequestError, InternalServerError, NotFoundError
from localassist.ids import new_id
from localassist.resources.files import base_name, delete_unused, known_purpose
from localassist.store import files as file_rows
from localassist.store import uploads as rows
from localassist.store.blobs import Blobs
from localassist.store.database import Connection, Database
from localassist.store.uploads import Part
from localassist.types.file import FileObject
from localassist.types.upload import (
    MAX_PART_BYTES,
    MAX_UPLOAD_BYTES,
    UPLOAD_EXPIRY_S,
    Upload,
    UploadCompleteParams,
    UploadCreateParams,
    UploadPart,
    UploadStatus,
)

logger = logging.getLogger(__name__)

_ADD: Final = "Cannot add a part to upload"
_COMPLETE: Final = "Cannot complete upload"
_CANCEL: Final = "Cannot cancel upload"
_REMEMBERED_S: Final = 86_400.0
"""How long an upload that has ended can still be told apart from one that never was."""


class Uploads:
    """What can be done with uploads."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        max_part_bytes: int = MAX_PART_BYTES,
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._max_part_bytes = max_part_bytes
        self._max_upload_bytes = max_upload_bytes

    async def create(self, params: UploadCreateParams) -> Upload:
        """Announce a file.

        Raises:
            BadRequestError: the API does not know the purpose.
        """
        now = clock.now_s()
        upload = Upload(
            id=new_id("upload"),
            bytes=params.bytes,
            created_at=now,
            filename=base_name(params.filename),
            purpose=known_purpose(params.purpose),
            expires_at=now + UPLOAD_EXPIRY_S,
            mime_type=params.mime_type,
            file_expires_after_s=None if params.expires_after is None else params.expires_after.seconds,
        )
        await self._db.write(lambda conn: rows.insert(conn, upload))
        return upload

    async def add_part(self, upload_id: str, chunks: AsyncIterator[bytes]) -> UploadPart:
        """Take a part; several may come at once.

        Raises:
            NotFoundError: there is no such upload.
            BadRequestError: it has ended, or its parts are too many.
            PayloadTooLargeError: the part is too large; nothing of it is kept.
            InternalServerError: the disk cannot be written.
        """
        await self._db.read(lambda conn: _pending(conn, upload_id, _ADD))
        sha256, n_bytes = await self._blobs.write(chunks, max_bytes=self._max_part_bytes)
        part = UploadPart(id=new_id("part"), created_at=clock.now_s(), upload_id=upload_id)

        def write(conn: Connection) -> None:
            rows.lock(conn, upload_id)
            _pending(conn, upload_id, _ADD)
            if rows.received_bytes(conn, upload_id) + n_bytes > self._max_upload_bytes:
                raise BadRequestError(
                    f"The parts of upload '{upload_id}' are larger than {self._max_upload_bytes:,} bytes together, the "
                    "most that one upload may have."
                )
            self._make_sure_of(sha256)
            rows.insert_part(conn, upload_id, Part(part.id, sha256, n_bytes))

        try:
            await self._db.write(write)
        except BadRequestError:  # it was ended while its part was on the way
            await self._db.write(lambda conn: delete_unused(conn, self._blobs, sha256))
            raise
        return part

    async def complete(self, upload_id: str, params: UploadCompleteParams) -> Upload:
        """Join the parts, in the order given, to a file; parts that are not named are dropped.

        Raises:
            NotFoundError: there is no such upload.
            BadRequestError: it has ended, a part is not its own, or what was sent is not what was announced.
            InternalServerError: the disk cannot be written.
        """

        def read(conn: Connection) -> tuple[Upload, list[Part]]:
            upload = _pending(conn, upload_id, _COMPLETE)
            return upload, _chosen(rows.parts(conn, upload_id), params.part_ids, upload)

        upload, parts = await self._db.read(read)
        try:
            return await self._join(upload, parts, params.md5)
        except InternalServerError:
            await self._db.read(read)  # parts go when another request ends the upload: then say so
            raise

    async def _join(self, upload: Upload, parts: Sequence[Part], md5: str | None) -> Upload:
        upload_id, sha256 = upload.id, await self._check(parts, md5)

        def announce(conn: Connection) -> None:
            rows.lock(conn, upload_id)
            _pending(conn, upload_id, _COMPLETE)
            rows.set_sha256(conn, upload_id, sha256)

        def write(conn: Connection) -> Upload:
            rows.lock(conn, upload_id)
            file = _file(_pending(conn, upload_id, _COMPLETE))
            self._make_sure_of(sha256)
            file_rows.insert(conn, file, sha256=sha256)
            completed = upload.model_copy(update={"status": "completed", "file": file})
            rows.replace(conn, completed)
            return completed

        await self._db.write(announce)
        try:
            if not self._blobs.has(sha256):
                await self._blobs.write(self._joined(parts), max_bytes=upload.bytes)
            return await self._db.write(write)
        finally:
            await self._discard_if_ended(upload_id)
            await self._db.write(lambda conn: delete_unused(conn, self._blobs, sha256))

    async def cancel(self, upload_id: str) -> Upload:
        """End an upload; nothing of it stays on the disk.

        Raises:
            NotFoundError: there is none.
            BadRequestError: it has ended already.
        """
        upload = await self._end(upload_id, "cancelled")
        await self._discard_if_ended(upload_id)
        return upload

    async def sweep(self) -> None:
        """End what has expired, and delete what ended uploads left on the disk. Call it now and then."""
        now = clock.now()
        over = await self._db.read(lambda conn: rows.expired(conn, now))
        for upload_id in over:
            try:
                await self._end(upload_id, "expired")
            except BadRequestError:
                continue  # another process ended it
        for upload_id in await self._db.read(rows.ended_with_parts):
            await self._discard_if_ended(upload_id)
        await self._db.write(lambda conn: rows.delete_before(conn, now - _REMEMBERED_S))
        if over:
            logger.info("Swept: %d expired uploads", len(over), extra={"action": "uploads_swept"})

    async def _end(self, upload_id: str, status: UploadStatus) -> Upload:
        def write(conn: Connection) -> Upload:
            rows.lock(conn, upload_id)
            upload = _pending(conn, upload_id, _CANCEL, late=status == "expired")
            ended = upload.model_copy(update={"status": status})
            rows.replace(conn, ended)
            return ended

        return await self._db.write(write)

    async def _discard_if_ended(self, upload_id: str) -> None:
        """Delete the parts; rows and blobs in one transaction, so a process that dies leaves both for the sweep."""

        def write(conn: Connection) -> None:
            rows.lock(conn, upload_id)
            upload = rows.get(conn, upload_id)
            if upload is None or upload.status == "pending":
                return
            for sha256 in rows.discard_parts(conn, upload_id):
                delete_unused(conn, self._blobs, sha256)

        await self._db.write(write)

    async def _check(self, parts: Sequence[Part], md5: str | None) -> str:
        """Give the SHA-256 of the whole, after its MD5 was compared.

        Raises:
            BadRequestError: it has another MD5.
        """
        digest, asked = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        async for chunk in self._joined(parts):
            await asyncio.to_thread(digest.update, chunk)
            if md5 is not None:
                await asyncio.to_thread(asked.update, chunk)
        if md5 is not None and asked.hexdigest() != md5.strip().lower():
            raise BadRequestError(
                f"The MD5 of the parts is {asked.hexdigest()}, and not {md5!r}: what came is not what was sent. "
                "Send the parts again.",
                param="md5",
                code="invalid_value",
            )
        return digest.hexdigest()

    async def _joined(self, parts: Sequence[Part]) -> AsyncIterator[bytes]:
        for part in parts:
            async for chunk in self._blobs.read(part.sha256):
                yield chunk

    def _make_sure_of(self, sha256: str) -> None:
        if not self._blobs.has(sha256):  # another file of the same bytes was deleted at this very moment
            raise InternalServerError("The same content was deleted while it was uploaded. Try again.")


def _pending(conn: Connection, upload_id: str, cannot: str, *, late: bool = False) -> Upload:
    """Read an upload that has not ended; with `late`, also one whose hour is over.

    Raises:
        NotFoundError: there is none.
        BadRequestError: it has ended; `cannot` says what therefore cannot be done.
    """
    upload = rows.get(conn, upload_id)
    if upload is None:
        raise NotFoundError("upload", upload_id)
    over = upload.status == "pending" and upload.expires_at <= clock.now() and not late
    status = "expired" if over else upload.status
    if status != "pending":
        raise BadRequestError(f"{cannot} with status '{status}'.")
    return upload


def _chosen(parts: Mapping[str, Part], part_ids: Sequence[str], upload: Upload) -> list[Part]:
    """Give the parts of a file in their order.

    Raises:
        BadRequestError: a part is not there, or they are more or less than was announced.
    """
    for n, part_id in enumerate(part_ids):
        if part_id not in parts:
            raise BadRequestError(
                f"No part found with id '{part_id}' in upload '{upload.id}'.",
                param=f"part_ids[{n}]",
                code="invalid_value",
            )
    chosen = [parts[part_id] for part_id in part_ids]
    if (n_bytes := sum(part.bytes for part in chosen)) != upload.bytes:
        raise BadRequestError(
            f"The parts have {n_bytes:,} bytes together, but 'bytes' of the upload is {upload.bytes:,}. Add what is "
            "missing, or name each part once; or cancel the upload and make one with the right number."
        )
    return chosen


def _file(upload: Upload) -> FileObject:
    """Make the file of a completed upload. It is as old as the upload, as recorded."""
    expires = upload.file_expires_after_s
    return FileObject(
        id=new_id("file"),
        purpose=upload.purpose,
        filename=upload.filename,
        bytes=upload.bytes,
        created_at=upload.created_at,
        expires_at=None if expires is None else upload.created_at + expires,
    )
