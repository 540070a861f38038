"""Which parser and which embedding model stand behind the retriever, and when they are loaded."""

import os
import threading
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localassist.config import Settings
from localassist.egress import Egress
from localassist.errors import LocalAssistError
from localassist.retrieval.model import ChunkingStrategy, Embedder, IngestReport, Progress, Vectors

if TYPE_CHECKING:
    from localassist.retrieval.parse import ProcessParser
    from localassist.retrieval.retriever import Retriever

_FOLDER: Final = "index"


class LateRetriever:
    """The retriever, opened when it is first called for: that loads the embedding model."""

    def __init__(self, settings: Settings, egress: Egress) -> None:
        self._settings = settings
        self._egress = egress
        self._lock = threading.Lock()
        self._opened: tuple[Retriever, ProcessParser] | None = None
        self._closed = False

    def __call__(self) -> "Retriever":
        """Give the retriever; blocks the first time.

        Raises:
            ClosedEngineError: it was closed.
            ConfigurationError: the embedding model cannot be used.
        """
        with self._lock:
            if self._closed:
                raise ClosedEngineError("The engine was stopped.")
            if self._opened is None:
                self._opened = _open_retriever(self._settings, self._egress)
            return self._opened[0]

    def warm(self) -> None:
        """Open it, and embed something, so that the first search need not wait.

        Raises:
            ClosedEngineError: it was closed.
            ConfigurationError: the embedding model cannot be used.
        """
        self().warm()

    def prepare(
        self,
        path: Path,
        *,
        file_name: str,
        content_hash: str,
        chunking: ChunkingStrategy,
        progress: Callable[[Progress], None] | None = None,
    ) -> tuple[str, IngestReport]:
        """Have a file's content on disk; see `Retriever.prepare`.

        Raises:
            ClosedEngineError: it was closed.
            ConfigurationError: the embedding model cannot be used.
            IngestionError: the file cannot be read, or is too long.
        """
        return self().prepare(
            path, file_name=file_name, content_hash=content_hash, chunking=chunking, progress=progress
        )

    def chunks(self, content_key: str) -> list[str]:
        """Give the texts of the chunks of a prepared file; see `Retriever.chunks`."""
        return self().chunks(content_key)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give a vector for each text; see `Retriever.embed`."""
        return self().embed(texts)

    def collect(self, live_keys: Set[str], *, older_than_s: float) -> int:
        """Remove from disk what no live key names, which needs no embedding model; see `Retriever.collect`."""
        from localassist.retrieval.content import ContentStore

        if self._opened is not None:
            return self._opened[0].collect(live_keys, older_than_s=older_than_s)
        return ContentStore(self._settings.home / _FOLDER).collect(live_keys, older_than_s=older_than_s)

    def forget(self, store_id: str) -> None:
        """Let go of the index of a store that was deleted, if one is held."""
        if self._opened is not None:
            self._opened[0].forget(store_id)

    def close(self) -> None:
        """End the parsers and let go of the indexes, if it was ever opened."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, None
        if opened is not None:
            retriever, parser = opened
            parser.close()
            retriever.close()


class ClosedEngineError(LocalAssistError):
    """The engine was stopped while something was still asked of it."""


def _open_retriever(settings: Settings, egress: Egress) -> "tuple[Retriever, ProcessParser]":
    from localassist.retrieval.ingest import IngestLimits
    from localassist.retrieval.parse import ProcessParser
    from localassist.retrieval.retriever import Retriever

    parser = ProcessParser(
        timeout_s=settings.parse_timeout_s,
        max_memory_bytes=settings.parse_memory_bytes,
        workers=max(1, settings.ingest_workers),
    )
    retriever = Retriever(
        settings.home / _FOLDER,
        parser=parser,
        embedder=_open_embedder(settings, egress),
        limits=IngestLimits(max_file_tokens=settings.max_file_tokens),
    )
    return retriever, parser


def _open_embedder(settings: Settings, egress: Egress) -> Embedder:
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embed import WindowEmbedder

    kind, colon, name = settings.embedder.partition(":")
    if kind == "remote" and colon:
        return _remote_embedder(name, settings, egress)
    folders = [] if settings.models_folder is None else [settings.models_folder]
    model = Catalogue(folders).open(settings.embedder)
    n_cores = settings.embedder_threads or os.cpu_count() or 1
    if model.card.backend == "onnx":
        from localassist.retrieval.embedders.onnx import OnnxModel

        onnx = OnnxModel(model.onnx_file, model.folder / "tokenizer.json")
        return WindowEmbedder(onnx, model.recipe, workers=n_cores)
    from localassist.retrieval.embedders.sentence_transformers import SentenceTransformersModel

    torch = SentenceTransformersModel(model.folder, threads=n_cores)
    return WindowEmbedder(torch, model.recipe, batch_size=16)


def _remote_embedder(name: str, settings: Settings, egress: Egress) -> Embedder:
    from localassist import tokens
    from localassist.retrieval.embedders import remote

    url, key = settings.embedder_base_url, settings.embedder_api_key
    endpoint = (
        remote.HttpEndpoint(name, base_url=url, check_host=egress.check, api_key=key)
        if url
        else remote.LitellmEndpoint(name, check_host=egress.check, api_key=key)
    )
    return remote.RemoteEmbedder(endpoint, name=f"{url or 'litellm'} {name}", spans=tokens.token_spans)
