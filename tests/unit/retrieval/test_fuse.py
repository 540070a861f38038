import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.fuse import (
    READABLE_WEIGHT,
    UNREADABLE_WEIGHT,
    Evidence,
    confidence,
    convex_combination,
    reciprocal_rank_fusion,
    vector_weight,
)

SIDES = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0, 1), min_size=n, max_size=n), st.lists(st.floats(-1, 1), min_size=n, max_size=n)
    )
)


def evidence(words: list[float], cosines: list[float], share: float = 1.0) -> Evidence:
    return Evidence(np.array(words), np.array(cosines), share)


def test_a_chunk_found_by_both_sides_comes_first() -> None:
    both = evidence([0.9, 0.8, 0.0], [0.0, 0.6, 0.7])

    assert np.argmax(convex_combination(both, weight=0.4)) == 1
    assert np.argmax(reciprocal_rank_fusion(both, text_weight=1, embedding_weight=1)) == 1


def test_the_combination_is_the_formula() -> None:
    fused = convex_combination(evidence([2.0, 1.0, 0.0], [0.4, 0.8, -0.5]), weight=0.4)

    np.testing.assert_allclose(fused, [0.6 + 0.4 / 2, 0.6 / 2 + 0.4, 0.0])


def test_a_side_without_evidence_leaves_its_share_to_the_other() -> None:
    np.testing.assert_allclose(convex_combination(evidence([0, 0], [0.2, 0.4]), weight=0.1), [0.5, 1.0])
    np.testing.assert_allclose(convex_combination(evidence([1, 2], [-0.2, 0]), weight=0.4), [0.5, 1.0])
    assert convex_combination(evidence([0, 0], [-0.2, 0]), weight=0.4).tolist() == [0.0, 0.0]


@given(sides=SIDES, weight=st.floats(0, 1), share=st.floats(0, 10))
def test_every_fused_score_and_confidence_lies_in_0_to_1(sides, weight, share) -> None:
    given_evidence = evidence(sides[0], sides[1], share)

    for scores in (
        convex_combination(given_evidence, weight=weight),
        reciprocal_rank_fusion(given_evidence, text_weight=weight, embedding_weight=1),
    ):
        assert ((scores >= 0) & (scores <= 1 + 1e-12)).all()
    assert 0 <= confidence(given_evidence, weight=weight) <= 1


@given(sides=SIDES, share=st.floats(0, 5))
def test_more_shared_words_mean_more_confidence(sides, share) -> None:
    assert confidence(evidence(sides[0], sides[1], share + 0.1), weight=0.4) > confidence(
        evidence(sides[0], sides[1], share), weight=0.4
    )


def test_reciprocal_ranks_share_the_better_rank_and_follow_their_weights() -> None:
    fused = reciprocal_rank_fusion(evidence([3, 3, 1, 0], [0.1, 0.2, 0.2, 0.4]), text_weight=2, embedding_weight=1)

    first, second, third, fourth = (11 / (10 + rank) for rank in (1, 2, 3, 4))
    expected = [2 * first + fourth, 2 * first + second, 2 * third + second, first]
    np.testing.assert_allclose(fused, np.array(expected) / 3)
    assert reciprocal_rank_fusion(evidence([1], [1]), text_weight=0, embedding_weight=0).tolist() == [0.0]


@pytest.mark.parametrize(
    ("query", "languages", "expected"),
    [
        ("how are taxes paid?", ["en"], READABLE_WEIGHT),
        ("où est la déclaration?", ["en"], READABLE_WEIGHT),
        ("税金はどう払う", ["en"], UNREADABLE_WEIGHT),
        ("税金はどう払う", ["en", "ja"], READABLE_WEIGHT),
        ("税金はどう払う", ["en", "zh"], UNREADABLE_WEIGHT),
        ("如何纳税", ["zh"], READABLE_WEIGHT),
        ("세금", ["ko"], READABLE_WEIGHT),
        ("налог", ["en"], UNREADABLE_WEIGHT),
        ("налог", ["uk"], READABLE_WEIGHT),
        ("ภาษี", ["*"], READABLE_WEIGHT),
        ("🙂🙂", ["en"], UNREADABLE_WEIGHT),
    ],
)
def test_an_embedder_votes_on_what_it_can_read(query: str, languages: list[str], expected: float) -> None:
    assert vector_weight(query, languages=languages) == expected
