import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.dense import best_of_ranges, code_cosines, joined, rows_inside, sum_of
from localassist.retrieval.embed import to_codes, unit_rows


def windows(starts: list[int], size: int) -> np.ndarray:
    return np.array([(s, s + size) for s in sorted(starts)], dtype=np.int64).reshape(-1, 2)


@given(starts=st.lists(st.integers(0, 60), max_size=12), size=st.integers(1, 9), data=st.data())
def test_a_row_belongs_to_a_span_when_at_least_half_of_it_lies_inside(starts, size, data) -> None:
    rows = windows(starts, size)
    bounds = data.draw(st.lists(st.tuples(st.integers(0, 60), st.integers(size, 30)), min_size=1, max_size=6))
    spans = np.array([(start, start + length) for start, length in bounds])

    ranges = rows_inside(rows, spans)

    for (start, end), (first, last) in zip(spans.tolist(), ranges.tolist(), strict=True):
        inside = [max(0, min(end, b) - max(start, a)) for a, b in rows.tolist()]
        more = {i for i, n in enumerate(inside) if 2 * n > size}
        half = {i for i, n in enumerate(inside) if 2 * n >= size}
        found = set(range(first, last))
        if half:
            assert more <= found <= half
        else:  # at most the nearest, if it is touched at all
            assert len(found) <= 1
            assert all(inside[i] for i in found)


@given(starts=st.lists(st.integers(0, 60), min_size=1, max_size=12), size=st.integers(1, 30), at=st.integers(0, 90))
def test_a_span_that_touches_a_row_is_never_left_without_one(starts, size, at) -> None:
    rows, span = windows(starts, size), np.array([[at, at + 1]])

    first, last = rows_inside(rows, span)[0].tolist()

    touched = {i for i, (a, b) in enumerate(rows.tolist()) if a <= at < b}
    assert set(range(first, last)) <= touched
    if len(starts) == 1:
        assert set(range(first, last)) == touched


@given(
    values=st.lists(st.floats(-1, 1), max_size=20),
    ranges=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=10),
)
def test_the_best_of_a_range_is_its_maximum(values, ranges) -> None:
    rows = [(min(a, b, len(values)), min(max(a, b), len(values))) for a, b in ranges]

    best = best_of_ranges(np.array(values), np.array(rows, dtype=np.int64).reshape(-1, 2))

    assert best.tolist() == [max(values[a:b], default=0.0) for a, b in rows]


@given(ranges=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=10))
def test_joined_ranges_hold_each_row_once_and_say_where(ranges) -> None:
    given_ranges = sorted((start, start + n) for start, n in ranges)

    union, places = joined(given_ranges)

    laid = [row for first, end in union for row in range(first, end)]
    assert sorted(set(laid)) == laid == sorted({row for first, end in given_ranges for row in range(first, end)})
    assert sum_of(union) == len(laid)
    assert [laid[a:b] for a, b in places] == [list(range(*one)) for one in given_ranges]


def test_cosines_of_codes_are_those_of_the_vectors_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(10_000, 48)).astype(np.float32))
    query = unit_rows(rng.normal(size=(1, 48)).astype(np.float32))[0]

    found = code_cosines(*to_codes(vectors), query)

    np.testing.assert_allclose(found, vectors @ query, atol=0.005)
