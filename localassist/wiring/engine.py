"""The engine: all parts on one home, working together."""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from localassist import clock
from localassist.config import EXTRACTIVE, Settings
from localassist.egress import Egress
from localassist.errors import ConfigurationError, LocalAssistError
from localassist.ids import new_id
from localassist.jobs import Heartbeat, Workers
from localassist.resources import (
    Answers,
    Assistants,
    Completions,
    EmbeddingsOf,
    Files,
    Messages,
    Runs,
    RunSteps,
    Threads,
    Uploads,
    V1Files,
    VectorStores,
)
from localassist.retrieval.model import Progress
from localassist.runs.events import EventLog
from localassist.runs.loop import RunExecutor
from localassist.runs.request import LoopLimits
from localassist.store import events as event_rows
from localassist.store import files as file_rows
from localassist.store import jobs as job_rows
from localassist.store.blobs import Blobs
from localassist.store.database import Connection, Database
from localassist.store.jobs import Fence, IngestJob
from localassist.tools.file_search import FileSearchCaller
from localassist.tools.stores import StoreSearcher
from localassist.types.run import Run, RunStatus
from localassist.wiring.checks import check_names
from localassist.wiring.models import allowed_hosts, model_router
from localassist.wiring.retrieval import LateRetriever

logger = logging.getLogger(__name__)

_WATCH_EVERY_S: Final = 2.0
_SWEEP_EVERY_S: Final = 60.0

_IMAGES: Final = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))
_MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024

_GRACE_S: Final = 1.0
"""How long runs and files under way may go on when the engine stops; then they are given back to the queue."""

ClaimedRun = tuple[Run, Fence, int]
"""A run, the fence it was claimed under, and the number of its newest event."""
ProgressListener = Callable[[str, Progress], None]
"""Called with a file's id and how far its indexing is, from the thread that indexes it."""


class Engine:
    """All parts of localassist on one home, working together; several processes may have one on the same home."""

    def __init__(self, settings: Settings) -> None:
        """Put the parts together; nothing is opened before `start`.

        Raises:
            ConfigurationError: a setting cannot be used.
        """
        check_names(settings)
        self.settings = settings
        self.started_at = clock.now_s()
        self.progress_listeners: list[ProgressListener] = []
        self.egress = Egress(allowed_hosts(settings))
        self._db = Database(settings.database_url) if settings.database_url else Database.sqlite(settings.sqlite_path)
        self._blobs = Blobs(settings.home / "files")
        self._log = EventLog(self._db)
        self._retriever = LateRetriever(settings, self.egress)
        self._model = model_router(settings, self.egress)
        self._searcher = StoreSearcher(self._db, self._retriever)
        self._executor = RunExecutor(
            db=self._db,
            log=self._log,
            model=self._model,
            tools=(FileSearchCaller(self._searcher),),
            read_image=self._read_image,
            limits=LoopLimits(
                max_turns=settings.max_turns,
                model_retries=settings.model_retries,
                model_timeout_s=settings.model_timeout_s,
            ),
        )
        self._worker = new_id("worker")
        self._run_workers: Workers[ClaimedRun] = Workers(
            "runs", claim=self._claim_run, work=self._carry_out_run, concurrency=settings.run_workers
        )
        self._ingest_workers: Workers[IngestJob] = Workers(
            "ingestion",
            claim=self._claim_file,
            work=lambda job: self.vector_stores.ingest(job),
            concurrency=settings.ingest_workers,
        )
        self._open_resources()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def models(self) -> Sequence[str]:
        """Give the names of the models that are configured; every other name is served by the first."""
        return list(dict.fromkeys([self.settings.model, *self.settings.models, EXTRACTIVE]))

    async def start(self) -> None:
        """Open the home, bring its database up to date, and begin to work off what is queued there.

        Raises:
            ConfigurationError: the home or the database cannot be used.
        """
        await asyncio.to_thread(_make_home, self.settings.home)
        await asyncio.to_thread(self._db.migrate)
        self._run_workers.start()
        self._ingest_workers.start()
        self._keep_doing("watch", self._watch, every_s=_WATCH_EVERY_S)
        self._keep_doing("sweep", self._sweep, every_s=_SWEEP_EVERY_S)

    async def stop(self) -> None:
        """Give up what is under way for any process to take up again, and close everything."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await asyncio.gather(self._run_workers.stop(grace_s=_GRACE_S), self._ingest_workers.stop(grace_s=_GRACE_S))
        await asyncio.to_thread(self._retriever.close)
        await self._model.close()
        await self._db.close()

    def warm_soon(self) -> None:
        """Load in the background what the first answer will need."""
        self._in_background("warm", self._warm())

    # --- what is kept going ---

    async def _warm(self) -> None:
        await asyncio.to_thread(self._retriever.warm)
        await self._model.warm()

    def _keep_doing(self, name: str, work: Callable[[], Awaitable[None]], *, every_s: float) -> None:
        async def keep_doing() -> None:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await work()
                except LocalAssistError as error:
                    logger.warning("%s failed, trying again: %s", name, error, extra={"action": f"{name}_failed"})

        self._in_background(name, keep_doing())

    def _in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s ended", task.get_name(), exc_info=error, extra={"action": "background_ended"})

    async def _watch(self) -> None:
        await self.runs.expire_overdue()

    async def _sweep(self) -> None:
        await self.files.sweep()
        await self.uploads.sweep()
        await self.answers.sweep()

    # --- jobs ---

    async def _claim_run(self) -> ClaimedRun | None:
        def claim(conn: Connection) -> ClaimedRun | None:
            claimed = job_rows.claim_run(conn, self._worker, clock.now(), self.settings.lease_s)
            return None if claimed is None else (*claimed[:2], event_rows.last_seq(conn, claimed[0].id))

        return await self._db.write(claim)

    async def _carry_out_run(self, job: ClaimedRun) -> None:
        run, fence, last_event = job

        async def renew() -> RunStatus | None:
            return await self._db.write(
                lambda conn: job_rows.renew_run(conn, run.id, fence, clock.now(), self.settings.lease_s)
            )

        def on_status(status: RunStatus) -> None:
            if status == "cancelling":
                self._executor.cancel(run.id)

        try:
            async with Heartbeat[RunStatus](renew, self.settings.lease_s / 3, on_status=on_status):
                await self._executor.execute(run, fence, last_event=last_event)
        except asyncio.CancelledError:
            await self._db.write(lambda conn: job_rows.release_run(conn, run.id, fence))
            raise

    async def _claim_file(self) -> IngestJob | None:
        return await self._db.write(
            lambda conn: job_rows.claim_file(conn, self._worker, clock.now(), self.settings.lease_s)
        )

    async def _read_image(self, file_id: str) -> str | None:
        """Give a `data:` URL of an uploaded image, or None when the file is gone, too large, or no image."""
        file = await self._db.read(lambda conn: file_rows.get(conn, file_id))
        sha256 = await self._db.read(lambda conn: file_rows.get_sha256(conn, file_id))
        if file is None or sha256 is None or file.bytes > _MAX_IMAGE_BYTES:
            return None
        data = b"".join([chunk async for chunk in self._blobs.read(sha256)])
        kind = next((kind for magic, kind in _IMAGES if data.startswith(magic)), None)
        return None if kind is None else f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    def _tell_progress(self, job: IngestJob, progress: Progress) -> None:
        for listener in tuple(self.progress_listeners):
            listener(job.file_id, progress)

    def _open_resources(self) -> None:
        db, settings, wake_ingest = self._db, self.settings, self._ingest_workers.wake
        self.vector_stores = VectorStores(
            db=db,
            blobs=self._blobs,
            retriever=self._retriever,
            searcher=self._searcher,
            wake_ingest=wake_ingest,
            lease_s=settings.lease_s,
            progress=self._tell_progress,
        )
        self.files = Files(db=db, blobs=self._blobs, retriever=self._retriever, max_file_bytes=settings.max_file_bytes)
        self.completions = Completions(model=self._model, timeout_s=settings.model_timeout_s)
        self.embeddings = EmbeddingsOf(embedder=self._retriever)
        self.answers = Answers(db=db)
        self.uploads = Uploads(db=db, blobs=self._blobs)
        self.assistants = Assistants(db=db, wake_ingest=wake_ingest)
        self.v1_files = V1Files(db=db, wake_ingest=wake_ingest, forget=self._retriever.forget)
        self.threads = Threads(db=db, wake_ingest=wake_ingest)
        self.messages = Messages(db=db, wake_ingest=wake_ingest)
        self.runs = Runs(
            db=db,
            log=self._log,
            wake_runs=self._run_workers.wake,
            wake_ingest=wake_ingest,
            run_timeout_s=settings.run_timeout_s,
            stop_run=self._executor.cancel,
        )
        self.run_steps = RunSteps(db=db)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The home {home} cannot be made: {error.strerror}. Choose another with --home or LOCALASSIST_HOME."
        ) from error
