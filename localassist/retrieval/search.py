"""Queries to ranked chunks: words and windows choose candidates, sub-windows score them, fusion orders them."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.content import ContentKey, ContentStore
from localassist.retrieval.dense import best_of_ranges, code_cosines, cosines, joined, sum_of
from localassist.retrieval.filters import Filter, matches
from localassist.retrieval.fuse import (
    Evidence,
    confidence,
    convex_combination,
    reciprocal_rank_fusion,
    vector_weight,
)
from localassist.retrieval.index import LiveBlock, StoreIndex
from localassist.retrieval.lexical import (
    Postings,
    QueryTerms,
    Scores,
    bm25,
    document_frequencies,
    inverse_document_frequencies,
    query_terms,
)
from localassist.retrieval.model import Codes, IndexedFile, RankingOptions, Vectors
from localassist.retrieval.segment import DamagedContentError
from localassist.retrieval.select import Places

_CHUNK_SHARE: Final = 0.6
"""Share of the chunk in the lexical score; the rest is its best window's. Source: measured, `docs/retrieval.md`."""

N_CANDIDATES: Final = 40
"""So many chunks, or as many as are asked for, go on from each side; of a small store, all. More found nothing more."""

_MAX_CACHED_SHARE: Final = 0.25

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Query:
    """A query, its vector `[dim] float32` of length 1, and the languages that the embedder can read."""

    text: str
    vector: Vectors
    languages: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates of one query, best first.

    Attributes:
        rows: `[n] int64`, rows of the pool.
        scores: `[n] float64` in 0..1, comparable between queries: `fuse.confidence` times the fused score.
        confidence: the highest score that any row could have.
    """

    rows: Rows
    scores: Scores
    confidence: float


@dataclass(frozen=True, slots=True)
class Located:
    """What a row of the pool is: a chunk of a file of a store."""

    store_id: str
    file: IndexedFile
    key: ContentKey
    span: tuple[int, int]
    byte_span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Part:
    """A block of a store, the first of its rows in the pool, and which of its chunks may be found (None: all)."""

    store: int
    store_id: str
    live: LiveBlock
    first: int
    allowed: NDArray[np.bool_] | None


class CodeCache:
    """The sub-windows of the files that were searched last, in memory up to a number of bytes, for any thread.

    A file with more than a quarter of that is read where it lies, mapped.
    """

    def __init__(self, content: ContentStore, *, max_bytes: int) -> None:
        self._content = content
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._held: OrderedDict[ContentKey, tuple[Codes, NDArray[np.float32]]] = OrderedDict()
        self._guard = threading.Lock()

    def of(self, key: ContentKey) -> tuple[Codes, NDArray[np.float32]]:
        """Give the codes and scales of a file's sub-windows.

        Raises:
            DamagedContentError: they are not on disk, or damaged.
        """
        with self._guard:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
                return held
        segment = self._content.open(key.vectors_name)
        codes: Codes = segment.array("sub_vectors", verify=False)
        scales: NDArray[np.float32] = segment.array("sub_scales", verify=False)
        if codes.nbytes > _MAX_CACHED_SHARE * self._max_bytes:
            return codes, scales
        held = codes.copy(), scales.copy()
        with self._guard:
            if key not in self._held:
                self._held[key] = held
                self._n_bytes += codes.nbytes
            while self._n_bytes > self._max_bytes:
                self._n_bytes -= self._held.popitem(last=False)[1][0].nbytes
        return held

    def clear(self) -> None:
        """Let go of all."""
        with self._guard:
            self._held.clear()
            self._n_bytes = 0


class Pool:
    """The chunks of all stores of a search, as if they were one store; a row of the pool is a chunk.

    Term frequencies and mean lengths are those of all stores together, so a score means the same in each. The filter
    decides which rows are found; it does not change how they score.
    """

    def __init__(self, indexes: Sequence[StoreIndex], codes: "CodeCache", *, condition: Filter | None) -> None:
        self._codes = codes
        self._parts: list[_Part] = []
        n_rows = 0
        for i, index in enumerate(indexes):
            for live in index.blocks:
                self._parts.append(_Part(i, index.store_id, live, n_rows, _allowed(live, condition)))
                n_rows += live.block.n_chunks
        self._firsts = np.array([part.first for part in self._parts], dtype=np.int64)
        masks = [np.ones(p.live.block.n_chunks, np.bool_) if p.allowed is None else p.allowed for p in self._parts]
        allowed = np.concatenate(masks) if masks else np.zeros(0, dtype=np.bool_)
        self._allowed: NDArray[np.bool_] | None = None if allowed.all() else allowed
        self.n_allowed = int(allowed.sum())

    def rank(self, query: Query, *, limit: int, options: RankingOptions) -> Ranked:
        """Rank the best chunks for one query: at least `limit`, if so many may be found. Some must (`n_allowed`)."""
        asked = query_terms(query.text)
        words, word_share = self._words(asked)
        window_cosines = self._window_cosines(query.vector)
        n = max(N_CANDIDATES, limit)
        rows = np.union1d(self._top(words, n, positive=True), self._top(window_cosines, n, positive=False))
        fine = self._fine_cosines(rows, window_cosines[rows], query.vector)
        evidence = Evidence(words[rows], fine, word_share)
        weight = vector_weight(query.text, languages=query.languages) if len(asked.terms) else 1.0
        sure = confidence(evidence, weight=weight)
        scores = sure * _fused(evidence, weight=weight, options=options)
        order = self.order(rows, scores)
        return Ranked(rows[order], scores[order], sure)

    def order(self, rows: Rows, scores: Scores) -> Rows:
        """Give the order of rows by descending score; equal ones as their stores, files and chunks are ordered."""
        stores, positions, numbers = np.zeros((3, len(rows)), dtype=np.int64)
        for part, members in self._by_part(rows):
            block = part.live.block
            local = rows[members] - part.first
            stores[members] = part.store
            positions[members] = part.live.positions[block.chunk_slots[local]]
            numbers[members] = block.chunk_numbers[local]
        return np.asarray(np.lexsort((numbers, positions, stores, -scores)), dtype=np.int64)

    def locate(self, row: int) -> Located:
        """Say which chunk a row is.

        Raises:
            ValueError: it is of a removed file, which no ranking gives.
        """
        i = int(np.searchsorted(self._firsts, row, side="right")) - 1
        part = self._parts[i]
        block, local = part.live.block, row - part.first
        slot = int(block.chunk_slots[local])
        file = part.live.files[slot]
        if file is None:
            raise ValueError(f"Row {row} is of a removed file.")
        start, end = block.chunk_spans[local].tolist()
        first_byte, end_byte = block.chunk_bytes[local].tolist()
        return Located(part.store_id, file, block.keys[slot], (start, end), (first_byte, end_byte))

    def places(self, rows: Rows) -> Places:
        """Say where rows stand, for the choice among them."""
        texts: dict[str, int] = {}
        files: dict[str, int] = {}
        table = np.zeros((len(rows), 4), dtype=np.int64)
        for part, members in self._by_part(rows):
            block = part.live.block
            local = rows[members] - part.first
            slots, inverse = np.unique(block.chunk_slots[local], return_inverse=True)
            ids = [part.live.files[slot] for slot in slots.tolist()]
            table[members, 0] = np.array([texts.setdefault(block.keys[s].text, len(texts)) for s in slots])[inverse]
            table[members, 1] = np.array([files.setdefault(f.file_id if f else "", len(files)) for f in ids])[inverse]
            table[members, 2:] = block.chunk_spans[local]
        return Places(texts=table[:, 0], files=table[:, 1], spans=table[:, 2:])

    def _words(self, asked: QueryTerms) -> tuple[Scores, float]:
        """Score all rows by their words, 0..1 for the best, and tell the best chunk's share of the query's words."""
        chunk_scores, total = self._bm25(
            asked, [(p.live.block.chunk_postings, p.live.live_chunks) for p in self._parts]
        )
        window_scores, _ = self._bm25(asked, [(p.live.block.window_postings, p.live.live_windows) for p in self._parts])
        best_windows = [
            best_of_ranges(scores, part.live.block.chunk_windows)
            for scores, part in zip(window_scores, self._parts, strict=True)
        ]
        chunks, windows = self._masked(np.concatenate(chunk_scores)), self._masked(np.concatenate(best_windows))
        best_chunk, best_window = chunks.max(initial=0.0), windows.max(initial=0.0)
        words = _CHUNK_SHARE * chunks / (best_chunk or 1.0) + (1.0 - _CHUNK_SHARE) * windows / (best_window or 1.0)
        return words, float(best_chunk / total) if total else 0.0

    @staticmethod
    def _bm25(
        asked: QueryTerms, sides: Sequence[tuple[Postings, NDArray[np.bool_] | None]]
    ) -> tuple[list[Scores], float]:
        """Score the rows of each part with the statistics of all; also give the weight of the whole query."""
        lengths = [side.lengths if alive is None else side.lengths[alive] for side, alive in sides]
        n_rows = sum(map(len, lengths))
        mean_length = sum(int(part.sum()) for part in lengths) / max(n_rows, 1)
        frequencies = np.zeros(len(asked.terms), dtype=np.int64)
        for side, alive in sides:
            frequencies += document_frequencies(side, asked, alive=alive)
        idf = inverse_document_frequencies(frequencies, n_rows)
        scores = [bm25(side, asked, idf=idf, mean_length=mean_length or 1.0) for side, _ in sides]
        return scores, float(idf @ asked.counts)

    def _masked(self, scores: Scores) -> Scores:
        return scores if self._allowed is None else np.where(self._allowed, scores, 0.0)

    def _window_cosines(self, vector: Vectors) -> Scores:
        """Give the best window's cosine of every row."""
        best = [
            best_of_ranges(cosines(part.live.block.window_vectors, vector), part.live.block.chunk_windows)
            for part in self._parts
        ]
        return _even(np.concatenate(best))

    def _top(self, scores: Scores, n: int, *, positive: bool) -> Rows:
        """Give the `n` allowed rows with the best scores, in any order; with `positive`, only those above 0."""
        if self._allowed is None and not positive:
            rows, found = np.arange(len(scores)), scores
        else:
            wanted = scores > 0 if positive else np.ones(len(scores), dtype=np.bool_)
            rows = np.flatnonzero(wanted if self._allowed is None else wanted & self._allowed)
            found = scores[rows]
        if len(rows) <= n:
            return rows
        least = float(np.partition(found, len(found) - n)[len(found) - n])
        rows = np.asarray(rows[found >= least], dtype=np.int64)
        return rows if len(rows) == n else rows[self.order(rows, scores[rows])[:n]]

    def _fine_cosines(self, rows: Rows, window_cosines: Scores, vector: Vectors) -> Scores:
        """Give the best sub-window's cosine of some rows, ascending; where there is none, the best window's."""
        codes: list[NDArray[np.int8]] = []
        scales: list[NDArray[np.float32]] = []
        ranges: list[tuple[int, int]] = []
        scored: list[int] = []
        n_read = 0
        for key, members, subs in self._by_file(rows):
            try:
                file_codes, file_scales = self._codes.of(key)
            except DamagedContentError:  # removed or damaged since it was indexed; the windows are in memory
                continue
            union, places = joined(subs)
            codes.extend(file_codes[first:end] for first, end in union)
            scales.extend(file_scales[first:end] for first, end in union)
            ranges.extend((n_read + first, n_read + end) for first, end in places)
            scored.extend(members)
            n_read += sum_of(union)
        result = window_cosines.copy()
        if scored:
            values = code_cosines(np.concatenate(codes), np.concatenate(scales), vector)
            result[scored] = _even(best_of_ranges(values, np.array(ranges, dtype=np.int64)))
        return result

    def _by_file(self, rows: Rows) -> Iterator[tuple[ContentKey, list[int], list[tuple[int, int]]]]:
        """Group ascending rows by file: its key, their indices in `rows`, their sub-windows; without those without."""
        for part, members in self._by_part(rows):
            block = part.live.block
            local = rows[members] - part.first
            subs = block.chunk_subs[local]
            having = np.flatnonzero(subs[:, 1] > subs[:, 0])
            slots = block.chunk_slots[local[having]]
            for group in np.split(having, np.flatnonzero(np.diff(slots)) + 1):
                if len(group):
                    key = block.keys[block.chunk_slots[local[group[0]]]]
                    yield key, members[group].tolist(), [(first, end) for first, end in subs[group].tolist()]

    def _by_part(self, rows: Rows) -> Iterator[tuple[_Part, Rows]]:
        """Give each part that holds any of the rows, with their indices in `rows`."""
        numbers = np.searchsorted(self._firsts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            yield self._parts[number], np.flatnonzero(numbers == number)


def _allowed(live: LiveBlock, condition: Filter | None) -> NDArray[np.bool_] | None:
    if condition is None:
        return live.live_chunks
    passing = [file is not None and matches(condition, file.attributes) for file in live.files]
    return np.array(passing, dtype=np.bool_)[live.block.chunk_slots]


def _fused(evidence: Evidence, *, weight: float, options: RankingOptions) -> Scores:
    if options.text_weight is None or options.embedding_weight is None:
        return convex_combination(evidence, weight=weight)
    return reciprocal_rank_fusion(evidence, text_weight=options.text_weight, embedding_weight=options.embedding_weight)


def _even(scores: Scores) -> Scores:
    """Round away what the order of additions did, so that equal texts score equally in whatever block they lie."""
    return np.round(scores, 5)
