"""The nouns of retrieval: documents, spans, chunks, vectors, hits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Codes = NDArray[np.int8]
TokenProgress = Callable[[int, int], None]
"""Called with the tokens done and the tokens in all; also a place to raise, which ends the work."""
AttributeValue = str | float | bool


@dataclass(frozen=True, slots=True)
class Page:
    """The characters `start` to `end` (exclusive) of a text, which one page (slide, sheet) of the file holds.

    `number` counts from 1.
    """

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its level (1 is the highest), and its own characters `start` to `end` (exclusive)."""

    level: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a file, once, with what is known of its shape.

    `text` holds whole characters only: no NUL, no lone surrogate. `pages` is empty where the format has none.
    `n_pages` counts the pages of the file, `n_empty_pages` those without any text.
    """

    text: str
    pages: Sequence[Page] = ()
    headings: Sequence[Heading] = ()
    n_pages: int = 0
    n_empty_pages: int = 0
    parser: str = "text"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters `start` to `end` (exclusive) of a document, and how many tokens they are."""

    start: int
    end: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """A text embedded once, in overlapping windows, with finer spans from the same forward passes.

    Sub-windows are about twelve times as many as windows, so their vectors are held as 8-bit codes: the vector of row
    `i` is `sub_scales[i] * sub_vectors[i]`, of length 1. Its cosine with a unit vector `q` is
    `sub_scales[i] * (sub_vectors[i].astype(float32) @ q)`, with the model that ships wrong by less than 0.005 (a test
    says so). A text without a word has no window; an embedder without token outputs has windows and no sub-windows.

    Attributes:
        window_spans: `[n_windows, 2] int64`, characters start and end (exclusive) in the text; starts and ends never
            decrease.
        window_vectors: `[n_windows, dim] float32`, rows of length 1.
        sub_spans: `[n_subs, 2] int64`, characters start and end of the late sub-windows, each inside its window.
        sub_vectors: `[n_subs, dim] int8`, codes from -127 to 127.
        sub_scales: `[n_subs] float32`, what a row of codes is multiplied by.
        sub_window: `[n_subs] int64`, the window each sub-window lies in; never decreases.
    """

    window_spans: NDArray[np.int64]
    window_vectors: Vectors
    sub_spans: NDArray[np.int64]
    sub_vectors: Codes
    sub_scales: NDArray[np.float32]
    sub_window: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the preparation of a file is: `done` of `total` tokens when embedding, else of one step."""

    stage: Literal["parse", "chunk", "embed", "write"]
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a file: counted, so that a person can see what was left out."""

    parser: str
    n_pages: int
    n_empty_pages: int
    n_characters: int
    n_tokens: int
    n_chunks: int
    reused_vectors: bool
    """True when the same content had been embedded before, and its vectors were taken over."""


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file as a vector store holds it: which prepared content, under which id and name, with which attributes."""

    file_id: str
    file_name: str
    content_key: str
    """Names the immutable folder that `Retriever.prepare` wrote."""
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """The committed files of one vector store, read only when needed.

    `version` changes whenever the files or their attributes do; `load` gives the files in a fixed order, each `file_id`
    once, and is called (possibly from another thread) only when the version was not seen before.
    """

    store_id: str
    version: int
    load: Callable[[], Sequence[IndexedFile]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers a query. `text == document[start:end]`; `score` lies in 0..1."""

    store_id: str
    file_id: str
    file_name: str
    attributes: Mapping[str, AttributeValue]
    text: str
    start: int
    end: int
    score: float
    pages: Sequence[Page]
    """The pages that the chunk touches, in order, with their characters in the document."""


@dataclass(frozen=True, slots=True)
class ChunkingStrategy:
    """How a text is cut: 800 tokens with 400 overlap is the API's `auto`."""

    max_chunk_size_tokens: int = 800
    chunk_overlap_tokens: int = 400


@dataclass(frozen=True, slots=True)
class RankingOptions:
    """How a search ranks; the default is the measured best.

    `embedding_weight` and `text_weight` ask for reciprocal rank fusion with these weights (the API's `hybrid_search`);
    without them scores are combined, which ranks better. Both are given or neither.
    """

    rerank: bool = True
    """False for the API's ranker `none`: the reranker of the retriever, if it has one, is passed over."""
    embedding_weight: float | None = None
    text_weight: float | None = None


class Embedder(Protocol):
    """Texts to vectors. Calls are blocking and use the processor: call them from a worker thread."""

    @property
    def name(self) -> str:
        """Identify the model and its settings: vectors of different names are never compared."""
        ...

    @property
    def dim(self) -> int:
        """Give the length of a vector."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """Give the ISO 639-1 codes of what the model can read; `*` for every language."""
        ...

    def embed_query(self, queries: Sequence[str]) -> Vectors:
        """Embed queries to `[n_queries, dim] float32`, rows of length 1."""
        ...

    def reads_whole(self, query: str) -> bool:
        """Tell whether `embed_query` reads all of a query, rather than its beginning."""
        ...

    def embed_text(self, text: str, *, progress: TokenProgress | None = None) -> EmbeddedText:
        """Embed all of a text, each token at least once; `progress` hears how far it is."""
        ...


class DocumentParser(Protocol):
    """A file's bytes to its text, safely."""

    def parse(self, path: Path, *, file_name: str) -> Document:
        """Read a file in a separate, limited process.

        Raises:
            IngestionError: the file is empty, unsupported, damaged, encrypted, without text, or over a limit.
        """
        ...
