"""BM25 over posting arrays: which rows (chunks, windows) hold which terms, and how well a row answers a query."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.analyze import AnalyzedText, terms

K1: Final = 1.5
B: Final = 0.75
ROWS_AT_ONCE: Final = 1024
MAX_QUERY_TERMS: Final = 256
"""The first so many distinct terms of a query count."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Postings:
    """The terms of some rows of text, in the order of terms.

    Attributes:
        terms: `[n_terms] uint64`, the 64-bit hashes of the distinct terms, ascending. (Hashes, so that terms of
            different files are merged without their letters; two of a million terms collide with probability 3e-8.)
        offsets: `[n_terms + 1] int64`; term `t` has the postings `offsets[t]` to `offsets[t + 1]`.
        rows: `[n_postings] int32`, the row of each posting; ascending inside a term.
        counts: `[n_postings] uint16`, how often the row holds the term.
        lengths: `[n_rows] int32`, how many terms each row holds, repetitions counted.
    """

    terms: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    rows: NDArray[np.int32]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """The distinct terms of a query: their hashes `[n] uint64`, and how often each was asked for `[n] float64`."""

    terms: NDArray[np.uint64]
    counts: NDArray[np.float64]


def query_terms(text: str) -> QueryTerms:
    """Give the terms of a query, in the order in which they first appear."""
    counted = list(Counter(terms(text)).items())[:MAX_QUERY_TERMS]
    return QueryTerms(_hashes([term for term, _ in counted]), np.array([n for _, n in counted], dtype=np.float64))


def index_spans(analyzed: AnalyzedText, spans: NDArray[np.int64]) -> Postings:
    """Make the postings of rows that are spans of one text: a span holds the terms that begin inside it.

    Args:
        analyzed: the text's terms.
        spans: `[n_rows, 2] int64`, characters start and end (exclusive); may overlap.
    """
    firsts = range(0, len(spans), ROWS_AT_ONCE)  # sorting all terms of a long text at once takes hundreds of MB
    return merge_postings([_index_rows(analyzed, spans[n : n + ROWS_AT_ONCE]) for n in firsts or (0,)])


def _index_rows(analyzed: AnalyzedText, spans: NDArray[np.int64]) -> Postings:
    n_rows = len(spans)
    lo = np.searchsorted(analyzed.starts, spans[:, 0], side="left")
    lengths = np.searchsorted(analyzed.starts, spans[:, 1], side="left") - lo
    hashes, number_to_term = np.unique(_hashes(analyzed.vocabulary), return_inverse=True)
    term_of_place = number_to_term[analyzed.terms[_ranges(lo, lengths)]]
    pairs, counts = np.unique(term_of_place * n_rows + np.repeat(np.arange(n_rows), lengths), return_counts=True)
    used, n_postings = np.unique(pairs // max(n_rows, 1), return_counts=True)
    return Postings(
        terms=hashes[used],
        offsets=_offsets(n_postings),
        rows=(pairs % max(n_rows, 1)).astype(np.int32),
        counts=np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16),
        lengths=lengths.astype(np.int32),
    )


def merge_postings(parts: Sequence[Postings]) -> Postings:
    """Make one of several: the rows of the first, then those of the second, and so on."""
    if len(parts) == 1:
        return parts[0]
    first_rows = _offsets([len(part.lengths) for part in parts])
    # One entry for each term of each part; by term, and within a term by part, they lie as in the result.
    entries = np.concatenate([part.terms for part in parts])
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    order = np.argsort(entries, kind="stable")
    places = np.empty(len(entries), dtype=np.int64)
    places[order] = _offsets(sizes[order])[:-1]
    target = _ranges(places, sizes)
    rows = np.empty(len(target), dtype=np.int32)
    rows[target] = np.concatenate([part.rows + first for part, first in zip(parts, first_rows, strict=False)])
    counts = np.empty(len(target), dtype=np.uint16)
    counts[target] = np.concatenate([part.counts for part in parts])
    merged, entry_to_term = np.unique(entries, return_inverse=True)
    n_postings = np.bincount(entry_to_term, weights=sizes, minlength=len(merged)).astype(np.int64)
    return Postings(merged, _offsets(n_postings), rows, counts, np.concatenate([part.lengths for part in parts]))


def document_frequencies(
    postings: Postings, query: QueryTerms, *, alive: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Count the rows that hold each query term, `[n_query_terms]`; with `alive`, `[n_rows]`, only those."""
    found, starts, sizes = _lookup(postings, query)
    frequencies = np.zeros(len(query.terms), dtype=np.int64)
    if alive is not None and sizes.size:
        sizes = np.array([int(alive[postings.rows[a : a + n]].sum()) for a, n in zip(starts, sizes, strict=True)])
    frequencies[found] = sizes
    return frequencies


def inverse_document_frequencies(frequencies: NDArray[np.int64], n_rows: int) -> Scores:
    """Weigh terms by how rare they are: ln(1 + (N - df + 0.5) / (df + 0.5)), never negative.

    Source: the BM25 of Apache Lucene, class `BM25Similarity`; Robertson's has no 1 inside the logarithm.
    """
    return np.asarray(np.log1p((n_rows - frequencies + 0.5) / (frequencies + 0.5)), dtype=np.float64)


def bm25(postings: Postings, query: QueryTerms, *, idf: Scores, mean_length: float) -> Scores:
    """Score every row against a query, `[n_rows] float64`; a row without a query term gets 0.

    A row scores Σ idf · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length)) over the query's terms, a term
    asked for twice counting twice.

    Args:
        postings: the rows.
        query: the query's terms.
        idf: `[n_query_terms]`, of the whole collection, of which these rows may be a part.
        mean_length: mean number of terms of the rows of the whole collection.

    Source:
        Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009,
        doi:10.1561/1500000019; k1 and b as measured in `docs/retrieval.md`.
    """
    n_rows = len(postings.lengths)
    found, starts, sizes = _lookup(postings, query)
    if not sizes.size:
        return np.zeros(n_rows)
    places = _ranges(starts, sizes)
    rows = postings.rows[places]
    counts = postings.counts[places].astype(np.float64)
    saturation = counts + K1 * (1.0 - B + B / mean_length * postings.lengths[rows])
    weights = np.repeat((idf * query.counts)[found] * (K1 + 1.0), sizes)
    return np.asarray(np.bincount(rows, weights=weights * counts / saturation, minlength=n_rows), dtype=np.float64)


def _lookup(postings: Postings, query: QueryTerms) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the query's terms that occur: their numbers in the query, first posting, and number of postings."""
    if not len(postings.terms):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    places = np.minimum(np.searchsorted(postings.terms, query.terms), len(postings.terms) - 1)
    found = np.flatnonzero(postings.terms[places] == query.terms)
    starts = postings.offsets[places[found]]
    return found, starts, postings.offsets[places[found] + 1] - starts


def _hashes(vocabulary: Sequence[str]) -> NDArray[np.uint64]:
    joined = b"".join(hashlib.blake2b(term.encode("utf-8"), digest_size=8).digest() for term in vocabulary)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64)


def _offsets(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])


def _ranges(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give `starts[0] … starts[0] + sizes[0] - 1, starts[1] …`: all members of all ranges, in order."""
    ends = np.cumsum(sizes, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(starts - (ends - sizes), sizes), dtype=np.int64)
