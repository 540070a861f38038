"""A second look at the best candidates, with their texts."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from localassist.retrieval.analyze import terms
from localassist.retrieval.lexical import Scores

_COVERAGE_WEIGHT: Final = 0.2


class Reranker(Protocol):
    """Reads passages beside the query and scores them anew. Blocking; called from several threads."""

    @property
    def name(self) -> str:
        """Identify the method or the model."""
        ...

    @property
    def depth(self) -> int:
        """Give how many of the best candidates it reads."""
        ...

    def rerank(self, query: str, passages: Sequence[str], scores: Scores) -> Scores:
        """Give new scores, `[n] float64` in 0..1, from the texts and the scores that the search gave them."""
        ...


class TermCoverage:
    """Favours passages that hold many different terms of the query, which needs no model.

    The new score is `0.8 · score + 0.2 · best score · share of the query's distinct terms that the passage holds`.
    Measured without gain on collections that it was not tuned on, so it is not the default.
    """

    name: Final = "term-coverage"
    depth: Final = 50

    def rerank(self, query: str, passages: Sequence[str], scores: Scores) -> Scores:
        """Score as the class says; without terms in the query the scores stay."""
        wanted = set(terms(query))
        if not wanted or not len(scores):
            return scores
        coverage = np.array([len(wanted.intersection(terms(passage))) / len(wanted) for passage in passages])
        return np.asarray((1 - _COVERAGE_WEIGHT) * scores + _COVERAGE_WEIGHT * scores.max() * coverage)
