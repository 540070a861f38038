"""Exact inner products: of all windows with the queries, then of the finer sub-windows of a few chunks."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.model import Codes, Vectors

Ranges = NDArray[np.int64]
_ROWS_AT_A_TIME: Final = 8192


def rows_inside(row_spans: NDArray[np.int64], spans: NDArray[np.int64]) -> Ranges:
    """Give each span the rows (windows, sub-windows) whose middle lies inside it, as a range of rows.

    The middle lies inside when at least half of the row does, unless the row is more than twice as long as the span. A
    span that holds no middle takes the one row with the nearest middle, if that overlaps it at all.

    Args:
        row_spans: `[n_rows, 2] int64`, characters start and end (exclusive); start + end never decreases.
        spans: `[n, 2] int64`, likewise, in any order.

    Returns:
        `[n, 2] int64`, first row and end (exclusive); equal where a span has no row.
    """
    middles = row_spans.sum(axis=1)  # twice the middle, to stay in whole numbers
    first = np.searchsorted(middles, 2 * spans[:, 0], side="left")
    end = np.searchsorted(middles, 2 * spans[:, 1], side="left")
    ranges = np.stack([first, end], axis=1).astype(np.int64)
    lonely = np.flatnonzero(first == end)
    if len(lonely) and len(middles):
        centre = spans[lonely].sum(axis=1)
        after = np.minimum(first[lonely], len(middles) - 1)
        before = np.maximum(first[lonely] - 1, 0)
        nearest = np.where(np.abs(middles[before] - centre) <= np.abs(middles[after] - centre), before, after)
        overlaps = (row_spans[nearest, 0] < spans[lonely, 1]) & (row_spans[nearest, 1] > spans[lonely, 0])
        ranges[lonely, 0] = nearest
        ranges[lonely, 1] = nearest + overlaps
    return ranges


def best_of_ranges(values: NDArray[np.float64], ranges: Ranges) -> NDArray[np.float64]:
    """Give the largest value of each range, `[n] float64`; 0 for an empty one.

    Args:
        values: `[n_values]`.
        ranges: `[n, 2]`, first and end (exclusive); may overlap.
    """
    if not len(ranges) or not len(values):
        return np.zeros(len(ranges))
    padded = np.append(values, -np.inf)  # so that an end may stand behind the last value
    best = np.maximum.reduceat(padded, np.minimum(ranges, len(values)).ravel())[::2]
    return np.where(ranges[:, 1] > ranges[:, 0], best, 0.0)


def cosines(vectors: Vectors, queries: Vectors) -> NDArray[np.float64]:
    """Give the cosine of every row with every query, `[n_queries, n_rows] float64`."""
    return np.asarray(queries @ vectors.T, dtype=np.float64)


def code_cosines(codes: Codes, scales: NDArray[np.float32], query: Vectors) -> NDArray[np.float64]:
    """Give the cosine of every coded row with a query, `[n_rows] float64`, as `EmbeddedText` says.

    Args:
        codes: `[n_rows, dim] int8`.
        scales: `[n_rows] float32`.
        query: `[dim] float32`, of length 1.
    """
    result = np.empty(len(codes), dtype=np.float64)
    for start in range(0, len(codes), _ROWS_AT_A_TIME):  # bounds the memory of the widened codes
        rows = slice(start, start + _ROWS_AT_A_TIME)
        result[rows] = codes[rows].astype(np.float32) @ query
    return result * scales


def joined(ranges: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Join ranges that overlap or touch, so that no row is read twice.

    Args:
        ranges: first and end (exclusive), in ascending order of first.

    Returns:
        The joined ranges, and for each given range where it lies when the joined ones are laid end to end.
    """
    union: list[tuple[int, int]] = []
    places: list[tuple[int, int]] = []
    shift = 0  # from a row to its place in the union
    for first, end in ranges:
        if union and first <= union[-1][1]:
            last_first, last_end = union[-1]
            union[-1] = (last_first, max(last_end, end))
        else:
            shift = sum_of(union) - first
            union.append((first, end))
        places.append((first + shift, end + shift))
    return union, places


def sum_of(ranges: Sequence[tuple[int, int]]) -> int:
    """Count the rows of ranges that do not overlap."""
    return sum(end - first for first, end in ranges)
