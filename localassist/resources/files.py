"""Files: create, retrieve, list, delete, content; and what is swept away in time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence, Set
from typing import Final, Protocol, get_args

from localassist import clock
from localassist.errors import BadRequestError, InternalServerError, NotFoundError
from localassist.ids import new_id
from localassist.resources import found
from localassist.store import files as rows
from localassist.store import vector_stores as store_rows
from localassist.store.blobs import Blobs
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.common import Deleted, ListPage
from localassist.types.file import MAX_FILE_BYTES, UPLOAD_PURPOSES, FileExpiresAfter, FileObject, FilePurpose

logger = logging.getLogger(__name__)

_UNCOMMITTED_S: Final = 3600.0
"""How long prepared content is kept that no vector store names: longer than it takes to commit its key."""


class Collects(Protocol):
    """What is asked of `retrieval.retriever.Retriever`."""

    def collect(self, live_keys: Set[str], *, older_than_s: float) -> int:
        """Remove prepared content that no live key names; blocking."""
        ...

    def forget(self, store_id: str) -> None:
        """Let go of the index of a store."""
        ...


class Files:
    """What can be done with files. Their bytes are kept once for each content."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        retriever: Collects,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._retriever = retriever
        self._max_file_bytes = max_file_bytes

    async def create(
        self,
        filename: str,
        purpose: str,
        chunks: AsyncIterator[bytes],
        expires_after: FileExpiresAfter | None = None,
    ) -> FileObject:
        """Keep an uploaded file. An empty one is kept too: it fails where its text is needed, and says so there.

        Args:
            filename: the client's name of the file; folders in it are left out.
            purpose: one of the purposes that the API lets a client give.
            chunks: the bytes, in pieces of any size; they are not held in memory.
            expires_after: when the file is deleted by itself.

        Raises:
            BadRequestError: the API does not know the purpose.
            PayloadTooLargeError: the file is too large; nothing of it is kept.
            InternalServerError: the disk cannot be written.
        """
        known = known_purpose(purpose)
        sha256, n_bytes = await self._blobs.write(chunks, max_bytes=self._max_file_bytes)
        now = clock.now_s()
        file = FileObject(
            id=new_id("file"),
            purpose=known,
            filename=base_name(filename),
            bytes=n_bytes,
            created_at=now,
            expires_at=None if expires_after is None else now + expires_after.seconds,
        )

        def write(conn: Connection) -> None:
            if not self._blobs.has(sha256):  # another file of the same bytes was deleted at this very moment
                raise InternalServerError("The file was uploaded while the same content was deleted. Upload it again.")
            rows.insert(conn, file, sha256=sha256)

        await self._db.write(write)
        return file

    async def retrieve(self, file_id: str) -> FileObject:
        """Read what is known of a file.

        Raises:
            NotFoundError: there is none.
        """
        return await self._db.read(lambda conn: found.file(conn, file_id))

    async def list(self, q: PageQuery, purpose: str | None = None) -> ListPage[FileObject]:
        """Read a page of all files, or of those with one purpose."""
        return await self._db.read(lambda conn: rows.list_page(conn, q, purpose=purpose))

    async def delete(self, file_id: str) -> Deleted:
        """Delete a file, here and in every vector store; no later search finds it.

        Raises:
            NotFoundError: there is none.
        """

        def write(conn: Connection) -> str:
            sha256 = rows.get_sha256(conn, file_id)
            if sha256 is None or not rows.delete(conn, file_id):
                raise NotFoundError("file", file_id)
            return sha256

        sha256 = await self._db.write(write)
        # Only after the row is gone for good: a file without its bytes would be worse than bytes without a file.
        await self._db.write(lambda conn: delete_unused(conn, self._blobs, sha256))
        return Deleted(id=file_id, object="file")

    async def content(self, file_id: str) -> tuple[FileObject, AsyncIterator[bytes]]:
        """Give a file and its bytes in pieces, whatever its purpose.

        Raises:
            NotFoundError: there is none.
            InternalServerError: its bytes are missing from the disk.
        """

        def read(conn: Connection) -> tuple[FileObject, str]:
            file, sha256 = found.file(conn, file_id), rows.get_sha256(conn, file_id)
            if sha256 is None:
                raise NotFoundError("file", file_id)
            return file, sha256

        file, sha256 = await self._db.read(read)
        if not self._blobs.has(sha256):
            raise InternalServerError(f"The contents of {file_id} are missing from the disk. Upload the file again.")
        return file, self._blobs.read(sha256)

    async def sweep(self) -> None:
        """Delete what has expired, and from the disk what nobody uses any more. Call it now and then."""
        now = clock.now()
        over, stores = await self._db.read(lambda conn: (rows.expired(conn, now), store_rows.expired(conn, now)))
        for file_id in over:
            try:
                await self.delete(file_id)
            except NotFoundError:
                continue  # another process swept it
        live = await self._db.read(store_rows.live_content_keys)
        n_collected = await asyncio.to_thread(self._collect, live, stores)
        n_unfinished = await self._blobs.sweep()
        if over or n_collected or n_unfinished:
            logger.info(
                "Swept: %d expired files, %d unused contents, %d unfinished uploads",
                len(over),
                n_collected,
                n_unfinished,
                extra={"action": "swept"},
            )

    def _collect(self, live: Set[str], expired_stores: Sequence[str]) -> int:
        for store_id in expired_stores:
            self._retriever.forget(store_id)
        return self._retriever.collect(live, older_than_s=_UNCOMMITTED_S)


def delete_unused(conn: Connection, blobs: Blobs, sha256: str) -> None:
    """Delete bytes that nothing has any more; in a transaction that writes, so nothing comes to have them meanwhile."""
    if not rows.sha256_in_use(conn, sha256):
        blobs.path(sha256).unlink(missing_ok=True)


def known_purpose(purpose: str) -> FilePurpose:
    """Give a purpose that a client may give.

    Raises:
        BadRequestError: the API does not know it.
    """
    for known in get_args(FilePurpose):
        if purpose == known and purpose in UPLOAD_PURPOSES:
            allowed: FilePurpose = known
            return allowed
    raise BadRequestError(f"{purpose!r} is not one of {list(UPLOAD_PURPOSES)!r} - 'purpose'", param="purpose")


def base_name(filename: str) -> str:
    """Give the last part of a path, in characters that every database keeps."""
    name = filename.replace("\\", "/").rsplit("/", maxsplit=1)[-1]
    kept = "".join(c for c in name if c.isprintable())
    return kept.encode("utf-8", "replace").decode("utf-8") or "upload"
