"""Queries to ranked chunks: words and windows choose candidates, sub-windows score them, fusion orders them."""

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

_CHUNK_SHARE: Final = 0.6
"""Share of the chunk in the lexical score; the rest is its best window's. Source: measured, `docs/retrieval.md`."""

N_CANDIDATES: Final = 64
"""So many chunks, or twice as many as are asked for, go on from each side; of a small store, all."""

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


class Pool:
    """The chunks of all stores of a search, as if they were one store; a row of the pool is a chunk.

    Term frequencies and mean lengths are those of all stores together, so a score means the same in each. The filter
    decides which rows are found; it does not change how they score.
    """

    def __init__(self, indexes: Sequence[StoreIndex], content: ContentStore, *, condition: Filter | None) -> None:
        self._content = content
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
        n = max(N_CANDIDATES, 2 * limit)
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
        codes: list[Codes] = []
        scales: list[NDArray[np.float32]] = []
        ranges: list[tuple[int, int]] = []
        scored: list[int] = []
        n_read = 0
        for key, members, subs in self._by_file(rows):
            try:
                segment = self._content.open(key.vectors_name)
            except DamagedContentError:  # removed or damaged since it was indexed; the windows are in memory
                continue
            union, places = joined(subs)
            file_codes = segment.array("sub_vectors", verify=False)
            file_scales = segment.array("sub_scales", verify=False)
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
