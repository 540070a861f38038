import numpy as np

from localassist.retrieval.rerank import TermCoverage


def test_a_passage_that_holds_more_of_the_terms_gains() -> None:
    scores = TermCoverage().rerank(
        "apples and pears", ["apples, apples", "a pear beside an apple"], np.array([0.5, 0.5])
    )

    np.testing.assert_allclose(scores, [0.45, 0.5])


def test_without_terms_or_passages_the_scores_stay() -> None:
    assert TermCoverage().rerank("of the", ["apple"], np.array([0.3])).tolist() == [0.3]
    assert TermCoverage().rerank("apple", [], np.array([])).tolist() == []
