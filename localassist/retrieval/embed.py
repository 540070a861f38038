"""Texts to vectors: the windows of a text, each through the model once, and finer spans from the same pass.

    text → wordpieces, once → windows of 200, every 150 → one forward pass each
        → the window's vector: the mean of its tokens' outputs
        → the vectors of its sub-windows of 32, every 16: means of the same outputs

A `TokenModel` (`embedders/`) does the forward pass, `WindowEmbedder` the rest.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from localassist.errors import ConfigurationError
from localassist.retrieval.model import Codes, EmbeddedText, TokenProgress, Vectors

Ids = NDArray[np.int64]
Spans = NDArray[np.int64]
Pooling = Literal["mean", "cls"]
T = TypeVar("T")
R = TypeVar("R")

PIECE_CHARACTERS = 20_000
"""A text is tokenised in pieces of this many characters, so that memory stays bounded."""
MAX_CACHED_QUERY_CHARACTERS = 1_000
MAX_QUERY_CHARACTERS = 20_000
"""Far more than any model's `max_tokens`, beyond which a query is cut."""
_BREAKS = frozenset(" \n\t\r\u3000")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How a text is cut, in wordpieces. `sub_size == 0`: no sub-windows.

    Source:
        The sizes that won a comparison on four question sets: one vector represents a chunk of 800 tokens, about 866
        wordpieces, badly.
    """

    size: int = 200
    stride: int = 150
    sub_size: int = 32
    sub_stride: int = 16

    def within(self, room: int) -> "WindowPlan":
        """Give the same plan, with windows of at most `room` wordpieces."""
        size = min(self.size, room)
        return WindowPlan(size, min(self.stride, size), min(self.sub_size, size), self.sub_stride)

    def __str__(self) -> str:
        return f"{self.size}/{self.stride}" + (f"+{self.sub_size}/{self.sub_stride}" if self.sub_size else "")


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """The wordpieces of a text: `ids [n] int32`, and `spans [n, 2] int32`, their characters, which never decrease."""

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]


class TokenModel(Protocol):
    """A transformer and its tokenizer. Both methods may be called by several threads at once."""

    @property
    def dim(self) -> int:
        """Give the length of a token's output."""
        ...

    @property
    def special_ids(self) -> tuple[Sequence[int], Sequence[int]]:
        """Give the ids that go before and after every text."""
        ...

    def tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ids `[n]` of a text's wordpieces, without special ones, and their characters `[n, 2]`."""
        ...

    def forward(self, ids: Ids) -> Vectors:
        """Give every token's output, `[batch, length, dim]`, for texts of equal length: `ids [batch, length]`."""
        ...


def window_starts(n_tokens: int, *, size: int, stride: int) -> NDArray[np.int64]:
    """Give where windows start so that every token lies in one, the last window ending with the text.

    A text that fits into one window is that window; a text without tokens has none.
    """
    if n_tokens == 0:
        return np.empty(0, np.int64)
    last = max(n_tokens - size, 0)
    return np.append(np.arange(0, last, stride, dtype=np.int64), last)


def pieces(text: str, *, size: int = PIECE_CHARACTERS) -> Iterator[tuple[int, int]]:
    """Cut a text into spans of at most `size` characters, behind a blank where the last quarter has one.

    Tokenisers see words only, so a cut behind a blank changes no token.
    """
    start = 0
    while start < len(text):
        end = min(start + size, len(text))
        if end < len(text):
            floor = end - size // 4
            end = next((i for i in range(end, floor, -1) if text[i - 1] in _BREAKS), end)
        yield start, end
        start = end


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which no tokeniser takes, by U+FFFD; positions stay."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def tokenize(text: str, model: TokenModel) -> TokenizedText:
    """Tokenise a text of any size, once."""
    all_ids, all_spans = [np.empty(0, np.int32)], [np.empty((0, 2), np.int32)]
    for start, end in pieces(text):
        ids, spans = model.tokenize(without_surrogates(text[start:end]))
        all_ids.append(ids)
        all_spans.append(spans + np.int32(start))
    spans = np.concatenate(all_spans)
    np.maximum.accumulate(spans, axis=0, out=spans)  # characters that a tokeniser reorders must not turn spans around
    return TokenizedText(np.concatenate(all_ids), spans)


def unit_rows(vectors: Vectors) -> Vectors:
    """Scale rows to length 1; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), np.float32)


def to_codes(vectors: Vectors) -> tuple[Codes, NDArray[np.float32]]:
    """Round rows to 8-bit codes, and give the scales that make the rounded rows unit vectors.

    The largest number of a row becomes 127, so the rounding is as fine as the row allows.
    """
    peak = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-12)
    codes = np.rint(vectors * (127 / peak)).astype(np.int8)
    norms = np.linalg.norm(codes.astype(np.float32), axis=1)
    return codes, np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)


@lru_cache(maxsize=64)
def sub_window_means(n_tokens: int, size: int, stride: int) -> tuple[NDArray[np.int64], Vectors]:
    """Give the starts of the sub-windows of a window, and the matrix `[n_subs, n_tokens]` that averages over each."""
    starts = window_starts(n_tokens, size=size, stride=stride) if size else np.empty(0, np.int64)
    matrix = np.zeros((len(starts), n_tokens), np.float32)
    for row, start in zip(matrix, starts, strict=True):
        row[start : start + size] = 1 / min(size, n_tokens)
    return starts, matrix


def pool(outputs: Vectors, pooling: Pooling) -> Vectors:
    """Reduce the outputs `[batch, length, dim]` of whole texts, special tokens included, to unit vectors.

    A text without a single token has the vector zero.
    """
    if not outputs.shape[1]:
        return np.zeros((len(outputs), outputs.shape[2]), np.float32)
    return unit_rows(outputs[:, 0] if pooling == "cls" else outputs.mean(axis=1, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the windows of a text lie, in tokens, and where their sub-windows' rows begin."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    sub_offsets: NDArray[np.int64]

    def batches(self, size: int) -> Iterator[range]:
        """Group neighbouring windows; those of one text all have one length, as the last is moved back to the end."""
        for first in range(0, len(self.starts), size):
            yield range(first, min(first + size, len(self.starts)))


def layout(n_tokens: int, plan: WindowPlan) -> Layout:
    """Lay the windows of `plan` over a text of `n_tokens`."""
    starts = window_starts(n_tokens, size=plan.size, stride=plan.stride)
    lengths = np.minimum(n_tokens - starts, plan.size)
    counts = [len(sub_window_means(int(n), plan.sub_size, plan.sub_stride)[0]) for n in lengths]
    return Layout(starts, lengths, np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64))


def spans_of(tokens: TokenizedText, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Spans:
    """Give the characters, start and end, of runs of tokens."""
    first, last = tokens.spans[starts, 0], tokens.spans[starts + lengths - 1, 1]
    return np.stack([first, last], axis=1).astype(np.int64)


def sub_windows(tokens: TokenizedText, where: Layout, plan: WindowPlan) -> tuple[Spans, NDArray[np.int64]]:
    """Give the characters of every sub-window, and the window it lies in."""
    empty = np.empty(0, np.int64)
    per_window = [sub_window_means(int(n), plan.sub_size, plan.sub_stride)[0] for n in where.lengths]
    starts = np.concatenate([empty, *(s + sub for s, sub in zip(where.starts, per_window, strict=True))])
    window = np.repeat(np.arange(len(per_window)), np.diff(where.sub_offsets))
    return spans_of(tokens, starts, np.minimum(where.lengths[window], plan.sub_size)), window


class QueryCache:
    """The vectors of the latest queries; safe for several threads."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()

    def get(self, query: str, compute: Callable[[str], Vectors]) -> Vectors:
        """Give the vector of `query`, computed if it is not at hand."""
        with self._lock:
            if query in self._vectors:
                self._vectors.move_to_end(query)
                return self._vectors[query]
        vector = compute(query)
        if len(query) <= MAX_CACHED_QUERY_CHARACTERS:
            with self._lock:
                self._vectors[query] = vector
                while len(self._vectors) > self._size:
                    self._vectors.popitem(last=False)
        return vector


@dataclass(frozen=True, slots=True)
class EmbeddingRecipe:
    """How a model wants its texts, beside its weights."""

    name: str
    """Identifies the model, to the last bit of its weights."""
    languages: Sequence[str]
    """ISO 639-1 codes of what it can read; `*` for every language."""
    max_tokens: int
    """What it takes at once, special tokens included; a longer query is cut."""
    pooling: Pooling = "mean"
    """How a window's or a query's vector comes from its tokens. Sub-windows are always means."""
    query_prefix: str = ""
    document_prefix: str = ""
    """What it was trained to see before a query, and before a passage."""
    plan: WindowPlan = WindowPlan()
    """The windows; those too large for `max_tokens` are made smaller."""


class WindowEmbedder:
    """Embeds texts in windows, and queries whole, with any `TokenModel`; implements `retrieval.model.Embedder`.

    Args:
        model: makes token outputs.
        recipe: how the model wants its texts.
        workers: forward passes at the same time, at least 1.
        batch_size: windows in one forward pass. A model that scales its activations call by call gives each window the
            same vector whatever stands beside it only at 1.

    Raises:
        ConfigurationError: the prefixes leave no room for text within `max_tokens`.
    """

    def __init__(self, model: TokenModel, recipe: EmbeddingRecipe, *, workers: int = 1, batch_size: int = 1) -> None:
        before, after = model.special_ids
        self._model = model
        self._recipe = recipe
        self._workers, self._batch_size = workers, batch_size
        self._query_before, self._document_before = (
            np.array([*before, *model.tokenize(prefix)[0]], np.int64)
            for prefix in (recipe.query_prefix, recipe.document_prefix)
        )
        self._after = np.array(after, np.int64)
        self._max_query_tokens = recipe.max_tokens - len(self._query_before) - len(after)
        room = recipe.max_tokens - len(self._document_before) - len(after)
        if min(room, self._max_query_tokens) < 1:
            raise ConfigurationError(
                f"{recipe.name}: max_tokens = {recipe.max_tokens} leaves no room for text beside the model's prefixes."
            )
        self._plan = recipe.plan.within(room)
        self._queries = QueryCache()

    @property
    def name(self) -> str:
        """Identify the model and its settings: vectors of different names are never compared."""
        recipe = self._recipe
        prefixes = f" {recipe.query_prefix!r} {recipe.document_prefix!r}".replace(" '' ''", "")
        return f"{recipe.name} {self._plan} {recipe.pooling}{prefixes}"

    @property
    def dim(self) -> int:
        """Give the length of a vector."""
        return self._model.dim

    @property
    def languages(self) -> Sequence[str]:
        """Give the ISO 639-1 codes of what the model can read; `*` for every language."""
        return self._recipe.languages

    def embed_query(self, queries: Sequence[str]) -> Vectors:
        """Embed queries to `[n_queries, dim] float32`, rows of length 1; the latest ones are remembered."""
        vectors = [self._queries.get(query, self._one_query) for query in queries]
        return np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32)

    def reads_whole(self, query: str) -> bool:
        """Tell whether `embed_query` reads all of a query: it is no longer than the model's `max_tokens`."""
        if len(query) > MAX_QUERY_CHARACTERS:
            return False
        return len(self._model.tokenize(without_surrogates(query))[0]) <= self._max_query_tokens

    def embed_text(self, text: str, *, progress: TokenProgress | None = None) -> EmbeddedText:
        """Embed all of a text, each token at least once; `progress` hears how far it is.

        Memory beyond the text's own: 12 bytes a token, and the result, about 45 bytes a token at 384 dimensions.
        """
        tokens = tokenize(text, self._model)
        n_tokens = len(tokens.ids)
        where = layout(n_tokens, self._plan)
        sub_spans, sub_window = sub_windows(tokens, where, self._plan)
        result = EmbeddedText(
            window_spans=spans_of(tokens, where.starts, where.lengths),
            window_vectors=np.empty((len(where.starts), self.dim), np.float32),
            sub_spans=sub_spans,
            sub_vectors=np.empty((len(sub_spans), self.dim), np.int8),
            sub_scales=np.empty(len(sub_spans), np.float32),
            sub_window=sub_window,
        )

        def work(batch: range) -> int:
            self._embed_batch(batch, tokens, where, result)
            return int(where.starts[batch[-1]] + where.lengths[batch[-1]])

        for n_done in in_order(work, where.batches(self._batch_size), workers=self._workers):
            if progress is not None:
                progress(n_done, n_tokens)
        return result

    def _one_query(self, query: str) -> Vectors:
        ids = self._model.tokenize(without_surrogates(query[:MAX_QUERY_CHARACTERS]))[0][: self._max_query_tokens]
        row = np.concatenate([self._query_before, ids, self._after]).astype(np.int64)
        vector: Vectors = pool(self._model.forward(row[None]), self._recipe.pooling)[0]
        vector.setflags(write=False)  # it is shared through the cache
        return vector

    def _embed_batch(self, batch: range, tokens: TokenizedText, where: Layout, result: EmbeddedText) -> None:
        """Run one forward pass and write its vectors into their rows; batches write to different rows."""
        n_tokens = int(where.lengths[batch[0]])
        n_before = len(self._document_before)
        ids = np.empty((len(batch), n_before + n_tokens + len(self._after)), np.int64)
        ids[:, :n_before] = self._document_before
        ids[:, n_before + n_tokens :] = self._after
        for row, window in zip(ids, batch, strict=True):
            start = where.starts[window]
            row[n_before : n_before + n_tokens] = tokens.ids[start : start + n_tokens]
        outputs = self._model.forward(ids)
        result.window_vectors[batch[0] : batch[-1] + 1] = pool(outputs, self._recipe.pooling)
        _, means = sub_window_means(n_tokens, self._plan.sub_size, self._plan.sub_stride)
        if not len(means):
            return
        subs = unit_rows((means @ outputs[:, n_before : n_before + n_tokens]).reshape(-1, self.dim))
        rows = slice(where.sub_offsets[batch[0]], where.sub_offsets[batch[-1] + 1])
        result.sub_vectors[rows], result.sub_scales[rows] = to_codes(subs)


def in_order(work: Callable[[T], R], items: Iterator[T], *, workers: int) -> Iterator[R]:
    """Do `work` on items with several threads, few ahead of what was taken, and give the results in order."""
    if workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool_of_threads:
        ahead: deque[Future[R]] = deque()
        try:
            for item in items:
                ahead.append(pool_of_threads.submit(work, item))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
