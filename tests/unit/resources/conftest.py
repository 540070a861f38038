"""All resources on a real database, with a real retriever over an embedder that needs no model."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localassist import clock
from localassist.errors import ConfigurationError, IngestionError
from localassist.ids import new_id
from localassist.resources import Assistants, Files, Messages, Runs, RunSteps, Threads, VectorStores
from localassist.retrieval.embedders.hashing import hashing_embedder
from localassist.retrieval.model import Document, Progress
from localassist.retrieval.retriever import Retriever
from localassist.runs.events import EventLog
from localassist.store import events as event_rows
from localassist.store import jobs
from localassist.store.blobs import Blobs
from localassist.store.database import Database
from localassist.store.jobs import Fence, IngestJob
from localassist.tools.stores import StoreSearcher
from localassist.types.assistant import Assistant, AssistantCreateParams
from localassist.types.file import FileObject
from localassist.types.message import MessageCreateParams
from localassist.types.run import Run, RunCreateParams
from localassist.types.thread import Thread, ThreadCreateParams
from localassist.types.vector_store import VectorStore, VectorStoreCreateParams

LEASE_S = 10.0


class PlainParser:
    """Reads UTF-8; some file names stand for files that go wrong."""

    def parse(self, path: Path, *, file_name: str) -> Document:
        if file_name == "broken.pdf":
            raise IngestionError("The file is damaged.", code="invalid_file")
        if file_name == "fault.txt":
            raise ZeroDivisionError("a fault of ours")
        if file_name == "setting.txt":
            raise ConfigurationError("There is no embedding model 'nope'.")
        return Document(path.read_text(encoding="utf-8"), parser="plain")


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


@dataclass
class World:
    """Everything that `wiring` would put together, without its workers."""

    db: Database
    home: Path
    calls: list[str] = field(default_factory=list)
    progress: list[tuple[str, Progress]] = field(default_factory=list)

    def __post_init__(self) -> None:
        db = self.db
        self.blobs = Blobs(self.home / "files")
        self.retriever = Retriever(self.home / "index", parser=PlainParser(), embedder=hashing_embedder())
        self.log = EventLog(db)
        wake_ingest = lambda: self.calls.append("ingest")  # noqa: E731 - shorter than a method for each
        self.assistants = Assistants(db=db, wake_ingest=wake_ingest)
        self.threads = Threads(db=db, wake_ingest=wake_ingest)
        self.messages = Messages(db=db, wake_ingest=wake_ingest)
        self.run_steps = RunSteps(db=db)
        self.files = Files(db=db, blobs=self.blobs, retriever=self.retriever, max_file_bytes=1000)
        self.runs = Runs(
            db=db,
            log=self.log,
            wake_runs=lambda: self.calls.append("runs"),
            wake_ingest=wake_ingest,
            run_timeout_s=600,
            stop_run=lambda run_id: self.calls.append(f"stop {run_id}"),
        )
        self.vector_stores = VectorStores(
            db=db,
            blobs=self.blobs,
            retriever=self.retriever,
            searcher=StoreSearcher(db, lambda: self.retriever),
            wake_ingest=wake_ingest,
            lease_s=LEASE_S,
            progress=lambda job, progress: self.progress.append((job.file_id, progress)),
        )

    async def assistant(self, *tools: dict[str, Any], **fields: Any) -> Assistant:
        body = {"model": "gpt-4o", "tools": list(tools), **fields}
        return await self.assistants.create(AssistantCreateParams.model_validate(body))

    async def thread(self, *said: str, **fields: Any) -> Thread:
        messages = [MessageCreateParams(role="user", content=text) for text in said]
        return await self.threads.create(ThreadCreateParams.model_validate({"messages": messages, **fields}))

    async def file(self, name: str = "a.txt", text: str = "The quick brown fox.", **fields: Any) -> FileObject:
        return await self.files.create(name, "assistants", pieces(text.encode()), **fields)

    async def store(self, *files: FileObject, **fields: Any) -> VectorStore:
        body = {"file_ids": [file.id for file in files], **fields}
        return await self.vector_stores.create(VectorStoreCreateParams.model_validate(body))

    async def run(self, *tools: dict[str, Any], said: str = "How many days?", **fields: Any) -> Run:
        assistant = await self.assistant(*tools)
        thread = await self.thread(said)
        return await self.runs.create(thread.id, RunCreateParams(assistant_id=assistant.id, **fields))

    async def claim_run(self) -> tuple[Run, Fence]:
        claimed = await self.db.write(lambda conn: jobs.claim_run(conn, new_id("worker"), clock.now(), LEASE_S))
        assert claimed is not None
        return claimed[0], claimed[1]

    async def claim_file(self) -> IngestJob:
        job = await self.db.write(lambda conn: jobs.claim_file(conn, new_id("worker"), clock.now(), LEASE_S))
        assert job is not None
        return job

    async def ingest_all(self) -> None:
        while True:
            job = await self.db.write(lambda conn: jobs.claim_file(conn, new_id("worker"), clock.now(), LEASE_S))
            if job is None:
                return
            await self.vector_stores.ingest(job)

    async def told(self, run_id: str) -> list[str]:
        """Names of a run's events; their numbers have no gap."""
        stored = await self.db.read(lambda conn: event_rows.after(conn, run_id, 0))
        assert [e.seq for e in stored] == list(range(1, len(stored) + 1))
        return [e.name for e in stored]


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    world = World(database, tmp_path)
    yield world
    world.retriever.close()
