"""The work of one queued file: prepare its content, and write down what became of it."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localassist import clock
from localassist.errors import IngestionError, LocalAssistError
from localassist.jobs import Heartbeat
from localassist.retrieval.model import ChunkingStrategy, IngestReport, Progress
from localassist.store import jobs
from localassist.store import vector_stores as rows
from localassist.store.blobs import Blobs
from localassist.store.database import Database
from localassist.store.jobs import IngestJob, LostLease
from localassist.types.file import MAX_FILE_BYTES
from localassist.types.vector_store import IngestionReport, VectorStoreFileError

logger = logging.getLogger(__name__)

ProgressHook = Callable[[IngestJob, Progress], None]
"""Told how far a file is; called from the thread that does the work."""


class Prepares(Protocol):
    """What is asked of `retrieval.retriever.Retriever`."""

    def prepare(
        self,
        path: Path,
        *,
        file_name: str,
        content_hash: str,
        chunking: ChunkingStrategy,
        progress: Callable[[Progress], None] | None = None,
    ) -> tuple[str, IngestReport]:
        """Have a file's content on disk; its key and what was counted. Blocking."""
        ...


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a file."""

    last_error: VectorStoreFileError | None = None
    content_key: str | None = None
    report: IngestionReport | None = None


class _StoppedError(Exception):
    """The work was told to stop; nothing is written."""


class Ingestion:
    """Carries out ingestion jobs, in threads."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        retriever: Prepares,
        lease_s: float,
        progress: ProgressHook | None = None,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._retriever = retriever
        self._lease_s = lease_s
        self._progress = progress

    async def carry_out(self, job: IngestJob) -> None:
        """Bring a claimed file to `completed` or `failed`, keeping its lease meanwhile.

        When this coroutine is cancelled, the file is given back and the work in its thread ends at the next progress.

        Raises:
            LostLease: another worker has the file by now, or it was removed; nothing was written.
            CancelledError: this coroutine was cancelled.
        """
        stop = threading.Event()
        try:
            async with Heartbeat(lambda: self._renew(job), self._lease_s / 3):
                outcome = await asyncio.to_thread(self._prepare, job, stop)
            await self._finish(job, outcome)
        except asyncio.CancelledError:
            stop.set()
            await self._db.write(lambda conn: jobs.release_file(conn, job))
            raise
        finally:
            stop.set()

    async def _renew(self, job: IngestJob) -> bool:
        return await self._db.write(lambda conn: jobs.renew_file(conn, job, clock.now(), self._lease_s))

    def _prepare(self, job: IngestJob, stop: threading.Event) -> _Outcome:
        def tell(progress: Progress) -> None:
            if stop.is_set():
                raise _StoppedError
            if self._progress is not None:
                self._progress(job, progress)

        if not self._blobs.has(job.sha256):
            return _Outcome(VectorStoreFileError(code="server_error", message=_MISSING))
        if job.bytes > MAX_FILE_BYTES:
            return _Outcome(VectorStoreFileError(code="invalid_file", message=_TOO_LARGE))
        path, static = self._blobs.path(job.sha256), job.chunking.static
        chunking = ChunkingStrategy(static.max_chunk_size_tokens, static.chunk_overlap_tokens)
        try:
            key, report = self._retriever.prepare(
                path, file_name=job.file_name, content_hash=job.sha256, chunking=chunking, progress=tell
            )
        except IngestionError as error:
            return _Outcome(VectorStoreFileError(code=error.code, message=error.message))
        except _StoppedError:
            raise
        except LocalAssistError as error:  # the settings are at fault, or the embedding model's server: it says which
            return _Outcome(VectorStoreFileError(code="server_error", message=str(error)))
        except Exception:
            # The queue must go on, and the client must read why its file is not there.
            logger.exception(
                "A file could not be indexed by a fault of localassist",
                extra={"action": "ingestion_fault", "vector_store_id": job.store_id, "file_id": job.file_id},
            )
            return _Outcome(VectorStoreFileError(code="server_error", message=_FAULT))
        return _Outcome(content_key=key, report=_shown(report))

    async def _finish(self, job: IngestJob, outcome: _Outcome) -> None:
        kept = await self._db.write(
            lambda conn: rows.finish_file(
                conn,
                job,
                status="completed" if outcome.last_error is None else "failed",
                last_error=outcome.last_error,
                usage_bytes=job.bytes if outcome.last_error is None else 0,
                report=outcome.report,
                content_key=outcome.content_key,
            )
        )
        if not kept:
            raise LostLease(f"File {job.file_id} was removed from {job.store_id}, or another worker has it.")
        logger.info(
            "File indexed" if outcome.last_error is None else "File not indexed: %s",
            *([outcome.last_error.message] if outcome.last_error is not None else []),
            extra={"action": "file_ingested", "vector_store_id": job.store_id, "file_id": job.file_id},
        )


_TOO_LARGE = (
    f"The file is larger than {MAX_FILE_BYTES:,} bytes, the most that can be indexed. Split it into several files."
)
_MISSING = "The bytes of this file are missing from the disk. Upload it again."
_FAULT = (
    "localassist failed while it indexed this file; its log has the details. Please report it, with the file if you "
    "can share it, and add the file again once it is mended."
)


def _shown(report: IngestReport) -> IngestionReport:
    return IngestionReport(
        parser=report.parser,
        pages=report.n_pages,
        empty_pages=report.n_empty_pages,
        characters=report.n_characters,
        tokens=report.n_tokens,
        chunks=report.n_chunks,
        reused_vectors=report.reused_vectors,
    )
