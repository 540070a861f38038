"""Vector stores made, and files queued to be indexed in them; inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from localassist import clock
from localassist.errors import BadRequestError
from localassist.ids import new_id
from localassist.resources import found
from localassist.retrieval.parse import SUPPORTED_EXTENSIONS
from localassist.store import vector_stores as rows
from localassist.store.database import Connection
from localassist.types.common import AttributeValue
from localassist.types.file import FileObject
from localassist.types.vector_store import (
    AUTO_CHUNKING,
    AutoFileChunkingStrategy,
    ChunkingStrategyParam,
    ExpiresAfter,
    StaticFileChunkingStrategy,
    VectorStore,
    VectorStoreFile,
    VectorStoreFileCreateParams,
)

S_PER_DAY: Final = 86_400
THREAD_STORE_EXPIRY: Final = ExpiresAfter(anchor="last_active_at", days=7)
"""Source: reference, "File search": stores made by a thread's helper or by an attachment expire after 7 days."""


def new_store(
    *,
    name: str | None = None,
    description: str | None = None,
    expires_after: ExpiresAfter | None = None,
    metadata: Mapping[str, str] | None = None,
) -> VectorStore:
    """Make a store that is not kept yet."""
    now = clock.now_s()
    return VectorStore(
        id=new_id("vs"),
        created_at=now,
        name=name,
        description=description,
        expires_after=expires_after,
        expires_at=expiry(expires_after, last_active_at=now),
        last_active_at=now,
        metadata=dict(metadata or {}),
    )


def expiry(expires_after: ExpiresAfter | None, *, last_active_at: int) -> int | None:
    """Give the Unix second in which a store expires, if it does."""
    return None if expires_after is None else last_active_at + expires_after.days * S_PER_DAY


def entries(
    file_ids: Iterable[str],
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
    chunking: ChunkingStrategyParam | None = None,
) -> list[VectorStoreFileCreateParams]:
    """Give each file the same attributes and chunking."""
    shared = dict(attributes) if attributes is not None else None
    return [
        VectorStoreFileCreateParams(file_id=file_id, attributes=shared, chunking_strategy=chunking)
        for file_id in file_ids
    ]


def add_files(
    conn: Connection,
    store_id: str,
    files: Sequence[VectorStoreFileCreateParams],
    *,
    batch_id: str | None = None,
    param: str = "file_ids",
) -> None:
    """Queue files to be indexed; of a file that is named twice the last entry counts.

    Raises:
        AbsentError: a file does not exist.
        BadRequestError: a file's extension says that it cannot be indexed.
    """
    last = {entry.file_id: entry for entry in files}
    _refuse_unsupported(found.files(conn, last, param=param), param=param)
    now = clock.now_s()
    for entry in last.values():
        queued = VectorStoreFile(
            id=entry.file_id,
            created_at=now,
            vector_store_id=store_id,
            chunking_strategy=_static(entry.chunking_strategy),
            attributes=dict(entry.attributes or {}),
        )
        rows.insert_file(conn, queued, batch_id=batch_id)


def _static(chunking: ChunkingStrategyParam | None) -> StaticFileChunkingStrategy:
    return AUTO_CHUNKING if chunking is None or isinstance(chunking, AutoFileChunkingStrategy) else chunking


def _refuse_unsupported(files: Iterable[FileObject], *, param: str) -> None:
    extensions = {PurePath(file.filename).suffix.lower() for file in files}
    unsupported = sorted(extensions - SUPPORTED_EXTENSIONS)
    if unsupported:
        listed = ", ".join(extension or "none" for extension in unsupported)
        raise BadRequestError(
            f"Files with extensions [{listed}] are not supported for retrieval. "
            f"Supported: {' '.join(sorted(SUPPORTED_EXTENSIONS))}.",
            param=param,
            code="unsupported_file",
        )
