"""One file to prepared content on disk: parse, chunk, embed, find the terms; each only if it was not done before."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from localassist.errors import IngestionError
from localassist.retrieval.analyze import ANALYZER_VERSION, analyze_text
from localassist.retrieval.chunk import chunk_by_tokens
from localassist.retrieval.content import ContentKey, ContentStore, byte_spans, digest, read_document, text_arrays
from localassist.retrieval.dense import rows_inside
from localassist.retrieval.lexical import Postings, index_spans
from localassist.retrieval.model import (
    ChunkingStrategy,
    Document,
    DocumentParser,
    EmbeddedText,
    Embedder,
    IngestReport,
    Progress,
)
from localassist.retrieval.segment import Array, Segment
from localassist.tokens import DEFAULT_ENCODING, token_spans

MAX_FILE_TOKENS: Final = 5_000_000
"""A limit of the API."""

_FORMAT_VERSION: Final = 1
"""Changes with the arrays of the segments: contents on disk of another version are made again."""

_COLUMNS_AT_ONCE: Final = 64

ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """What a file may hold at most."""

    max_file_tokens: int = MAX_FILE_TOKENS


class Ingestor:
    """Prepares files; several threads may, and the same content is prepared by one of them at a time."""

    def __init__(
        self,
        content: ContentStore,
        *,
        parser: DocumentParser,
        parser_version: str,
        embedder: Embedder,
        limits: IngestLimits | None = None,
    ) -> None:
        """Bring the parts together; `parser_version` changes when the parser gives other texts for the same files."""
        self._content = content
        self._parser = parser
        self._parser_version = parser_version
        self._embedder = embedder
        self._limits = limits or IngestLimits()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    def key(self, *, file_name: str, content_hash: str, chunking: ChunkingStrategy) -> ContentKey:
        """Name the content that a file gives. The file's ending counts, since it decides how the bytes are read."""
        size, overlap = chunking.max_chunk_size_tokens, chunking.chunk_overlap_tokens
        chunks = (str(size), str(overlap), DEFAULT_ENCODING, str(ANALYZER_VERSION), str(_FORMAT_VERSION))
        ending = Path(file_name).suffix.lower()
        return ContentKey(
            text=digest(content_hash, ending, self._parser_version, str(_FORMAT_VERSION), characters=32),
            vectors=digest(self._embedder.name, str(_FORMAT_VERSION), characters=12),
            chunks=digest(*chunks, characters=12),
        )

    def prepare(
        self,
        path: Path,
        *,
        file_name: str,
        content_hash: str,
        chunking: ChunkingStrategy,
        progress: ProgressCallback | None = None,
    ) -> tuple[ContentKey, IngestReport]:
        """Have a file's content on disk, and give its key and what was counted. Blocking.

        Raises:
            IngestionError: the file cannot be read, is too long, or its index cannot be written.
        """
        key = self.key(file_name=file_name, content_hash=content_hash, chunking=chunking)
        tell = progress or (lambda _: None)
        with self._one_at_a_time(key.text):
            n_kept = sum(self._content.keep(name) for name in key.names)
            if n_kept == len(key.names):
                return key, _report(self._content.open(key.text_name), self._content.open(key.chunks_name), reused=True)
            document = self._document(path, key, file_name=file_name, tell=tell)
            tell(Progress("chunk", 0, 1))
            n_tokens, chunk_rows = self._chunks(document.text, chunking, file_name=file_name)
            vectors, reused = self._vectors(document.text, key, n_tokens=n_tokens, tell=tell)
            tell(Progress("write", 0, 1))
            self._write_text(key, document)
            self._write_vectors(key, vectors)
            del vectors  # from here on they are mapped from their file, not held in memory
            vectors = _read_vectors(self._content.open(key.vectors_name))
            self._write_chunks(key, document, vectors, chunk_rows, n_tokens=n_tokens)
            tell(Progress("write", 1, 1))
            return key, _report(self._content.open(key.text_name), self._content.open(key.chunks_name), reused=reused)

    def _document(self, path: Path, key: ContentKey, *, file_name: str, tell: ProgressCallback) -> Document:
        tell(Progress("parse", 0, 1))
        if self._content.keep(key.text_name):
            document = read_document(self._content.open(key.text_name))
        else:
            document = self._parser.parse(path, file_name=file_name)
        tell(Progress("parse", 1, 1))
        return document

    def _chunks(self, text: str, chunking: ChunkingStrategy, *, file_name: str) -> tuple[int, NDArray[np.int64]]:
        """Give the number of tokens, and the start, end and tokens of each chunk."""
        spans = token_spans(text)
        self._check_length(len(spans), file_name=file_name)
        size, overlap = chunking.max_chunk_size_tokens, chunking.chunk_overlap_tokens
        chunks = chunk_by_tokens(spans, size=size, overlap=overlap)
        rows = np.array([(c.start, c.end, c.n_tokens) for c in chunks], dtype=np.int64).reshape(-1, 3)
        return len(spans), rows

    def _check_length(self, n_tokens: int, *, file_name: str) -> None:
        allowed = self._limits.max_file_tokens
        if n_tokens > allowed:
            raise IngestionError(
                f"The file {file_name!r} has {n_tokens:,} tokens; at most {allowed:,} are allowed. "
                "Split it into smaller files."
            )

    def _vectors(
        self, text: str, key: ContentKey, *, n_tokens: int, tell: ProgressCallback
    ) -> tuple[EmbeddedText, bool]:
        if self._content.keep(key.vectors_name):
            tell(Progress("embed", n_tokens, n_tokens))
            return _read_vectors(self._content.open(key.vectors_name)), True
        embedded = self._embedder.embed_text(text, progress=lambda done, total: tell(Progress("embed", done, total)))
        return _in_reading_order(embedded), False

    def _write_text(self, key: ContentKey, document: Document) -> None:
        """Write the text if it is missing: text and vectors come before the chunks that refer to them."""
        if not self._content.keep(key.text_name):
            meta, arrays = text_arrays(document)
            self._content.write(key.text_name, meta={**meta, "n_characters": len(document.text)}, arrays=arrays)

    def _write_vectors(self, key: ContentKey, vectors: EmbeddedText) -> None:
        """Write the vectors if they are missing."""
        if not self._content.keep(key.vectors_name):
            self._content.write(
                key.vectors_name, meta={"embedder": self._embedder.name}, arrays=_vector_arrays(vectors)
            )

    def _write_chunks(
        self,
        key: ContentKey,
        document: Document,
        vectors: EmbeddedText,
        chunk_rows: NDArray[np.int64],
        *,
        n_tokens: int,
    ) -> None:
        """Write the chunks, and the terms of the text."""
        spans = chunk_rows[:, :2]
        analyzed = analyze_text(document.text)
        self._content.write(
            key.chunks_name,
            meta={"embedder": self._embedder.name, "n_tokens": n_tokens, "n_chunks": len(chunk_rows)},
            arrays={
                "spans": spans,
                "bytes": byte_spans(document.text, spans),
                "n_tokens": chunk_rows[:, 2],
                "windows": rows_inside(vectors.window_spans, spans),
                "subs": rows_inside(vectors.sub_spans, spans),
                **postings_arrays("chunk", index_spans(analyzed, spans)),
                **postings_arrays("window", index_spans(analyzed, vectors.window_spans)),
            },
        )

    @contextmanager
    def _one_at_a_time(self, name: str) -> Iterator[None]:
        with self._guard:
            lock, n_users = self._busy.get(name, (threading.Lock(), 0))
            self._busy[name] = lock, n_users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                n_users = self._busy[name][1]
                self._busy[name] = lock, n_users - 1
                if n_users == 1:
                    del self._busy[name]


def postings_arrays(prefix: str, postings: Postings) -> dict[str, Array]:
    """Give postings as arrays of a segment."""
    return {f"{prefix}_{name}": getattr(postings, name) for name in Postings.__slots__}


def read_postings(prefix: str, segment: Segment) -> Postings:
    """Give the postings that `postings_arrays` took apart.

    Raises:
        DamagedContentError: the segment is damaged.
    """
    return Postings(**{name: segment.array(f"{prefix}_{name}") for name in Postings.__slots__})


def _in_reading_order(embedded: EmbeddedText) -> EmbeddedText:
    """Sort the sub-windows by their middles, so that those of a chunk are neighbours also where windows overlap.

    The codes of `embedded` are sorted where they stand.
    """
    order = np.argsort(embedded.sub_spans.sum(axis=1), kind="stable")
    codes = embedded.sub_vectors
    for first in range(0, codes.shape[1], _COLUMNS_AT_ONCE):  # in place: the codes are the most that ingestion holds
        columns = slice(first, first + _COLUMNS_AT_ONCE)
        codes[:, columns] = codes[order, columns]
    return EmbeddedText(
        window_spans=embedded.window_spans,
        window_vectors=embedded.window_vectors,
        sub_spans=embedded.sub_spans[order],
        sub_vectors=codes,
        sub_scales=embedded.sub_scales[order],
        sub_window=embedded.sub_window[order],
    )


def _vector_arrays(embedded: EmbeddedText) -> dict[str, Array]:
    return {name: getattr(embedded, name) for name in EmbeddedText.__slots__}


def _read_vectors(segment: Segment) -> EmbeddedText:
    return EmbeddedText(**{name: segment.array(name) for name in EmbeddedText.__slots__})


def _report(text: Segment, chunks: Segment, *, reused: bool) -> IngestReport:
    meta: dict[str, Any] = {**text.meta, **chunks.meta}
    return IngestReport(
        parser=meta["parser"],
        n_pages=meta["n_pages"],
        n_empty_pages=meta["n_empty_pages"],
        n_characters=meta["n_characters"],
        n_tokens=meta["n_tokens"],
        n_chunks=meta["n_chunks"],
        reused_vectors=reused,
    )
