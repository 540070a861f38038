import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.select import Places, choose


def places(*rows: tuple[int, int, int, int]) -> Places:
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Places(texts=table[:, 0], files=table[:, 1], spans=table[:, 2:])


def indices(scores: list[float], where: Places, limit: int = 10) -> list[int]:
    return [i for i, _ in choose(np.array(scores), where, limit=limit, penalty=0.15)]


def test_a_neighbour_that_overlaps_moves_behind_a_passage_that_says_something_new() -> None:
    where = places((0, 0, 0, 10), (0, 0, 5, 15), (0, 0, 15, 25))

    assert indices([1.0, 0.9, 0.8], where) == [0, 2, 1]


def test_touching_passages_and_those_of_other_texts_do_not_overlap() -> None:
    where = places((0, 0, 0, 10), (0, 0, 10, 20), (1, 1, 0, 10))

    assert choose(np.array([1.0, 0.9, 0.8]), where, limit=3, penalty=0.15) == [(0, 1.0), (1, 0.9), (2, 0.8)]


def test_each_further_copy_under_another_name_loses_again() -> None:
    where = places((0, 0, 0, 10), (0, 1, 0, 10), (0, 2, 0, 10), (1, 3, 0, 10))

    chosen = choose(np.array([1.0, 1.0, 1.0, 0.75]), where, limit=4, penalty=0.15)

    assert [i for i, _ in chosen] == [0, 1, 3, 2]
    np.testing.assert_allclose([score for _, score in chosen], [1.0, 0.85, 0.75, 0.7])


def test_the_same_chunk_of_the_same_file_is_chosen_once() -> None:
    assert indices([1.0, 1.0, 0.1], places((0, 7, 0, 10), (0, 7, 0, 10), (0, 7, 50, 60))) == [0, 2]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 20), st.integers(1, 9), st.floats(0, 1)),
        max_size=12,
    ),
    limit=st.integers(0, 12),
)
def test_scores_never_increase_and_nothing_is_chosen_twice(rows, limit) -> None:
    rows.sort(key=lambda row: -row[-1])
    where = places(*((text, file, start, start + n) for text, file, start, n, _ in rows))

    chosen = choose(np.array([row[-1] for row in rows]), where, limit=limit, penalty=0.15)

    scores = [score for _, score in chosen]
    assert scores == sorted(scores, reverse=True)
    keys = [rows[i][:4] for i, _ in chosen]
    assert len(set(keys)) == len(keys) == min(limit, len({row[:4] for row in rows}))
