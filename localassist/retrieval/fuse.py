"""Two rankings to one: what the words say and what the vectors say of each chunk, and how sure the whole is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from localassist.retrieval.lexical import Scores

READABLE_WEIGHT: Final = 0.4
UNREADABLE_WEIGHT: Final = 0.1
"""The share of the vectors where the embedder can read the query's language, and where it cannot.

Source: measured, `docs/retrieval.md`.
"""

RRF_K: Final = 10
_ASCII_SHARE: Final = 0.7
_WORD_SATURATION: Final = 1.5

_SCRIPTS: Final = (
    ("\u3041", "\u30ff", ("ja",)),  # kana; before Han, which Japanese uses too
    ("\u1100", "\u11ff", ("ko",)),
    ("\uac00", "\ud7a3", ("ko",)),
    ("\u3400", "\u9fff", ("zh", "ja")),
    ("\u0400", "\u052f", ("ru", "uk", "bg", "sr", "mk", "be", "kk", "mn")),
    ("\u0370", "\u03ff", ("el",)),
    ("\u0590", "\u05ff", ("he",)),
    ("\u0600", "\u06ff", ("ar", "fa", "ur")),
    ("\u0900", "\u097f", ("hi", "mr", "ne")),
    ("\u0e00", "\u0e7f", ("th",)),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for each of some candidate chunks.

    Attributes:
        words: `[n] float64`, the lexical score, 0 and more, on any scale.
        cosines: `[n] float64`, the best cosine of each chunk.
        word_share: how much of the query's weight in words the best chunk holds, 0 and more: 1 when it holds each term
            of the query once, at mean length.
    """

    words: Scores
    cosines: Scores
    word_share: float


def vector_weight(query: str, *, languages: Sequence[str]) -> float:
    """Give the share of the vectors in the fused score: an embedder that cannot read a language must not vote in it.

    Args:
        query: the query.
        languages: what the embedder can read, ISO 639-1; `*` for all.
    """
    if "*" in languages or sum(map(str.isascii, query)) > _ASCII_SHARE * len(query):
        return READABLE_WEIGHT
    for first, last, users in _SCRIPTS:
        if any(first <= character <= last for character in query):
            return READABLE_WEIGHT if set(users) & set(languages) else UNREADABLE_WEIGHT
    return UNREADABLE_WEIGHT


def convex_combination(evidence: Evidence, *, weight: float) -> Scores:
    """Rank by `(1 - weight) · words / max(words) + weight · cosine / max(cosine)`, `[n] float64` in 0..1.

    Negative cosines count as 0. A side on which no candidate has anything leaves its share to the other.

    Source:
        Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", 2023, doi:10.1145/3596512, which
        finds it better than reciprocal ranks; so did we.
    """
    sides = ((_relative(evidence.words), 1.0 - weight), (_relative(evidence.cosines), weight))
    share = sum(w for side, w in sides if side.any())
    return np.asarray(sum((w * side for side, w in sides), np.zeros(len(evidence.words))) / (share or 1.0))


def reciprocal_rank_fusion(
    evidence: Evidence, *, text_weight: float, embedding_weight: float, k: int = RRF_K
) -> Scores:
    """Rank by weighted reciprocal ranks, `[n] float64` in 0..1.

    A chunk scores Σ weight / (k + rank) over the two rankings, with ranks from 1, equal scores sharing the better rank;
    1 would be the first place in both. A chunk with nothing to speak for it on a side gets nothing from that side.

    Source:
        Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
        methods", SIGIR 2009, doi:10.1145/1571941.1572114.
    """
    total = text_weight + embedding_weight
    if total <= 0:
        return np.zeros(len(evidence.words))
    sides = ((evidence.words, text_weight), (evidence.cosines, embedding_weight))
    return sum((w / total * _reciprocal_ranks(side, k=k) for side, w in sides), np.zeros(len(evidence.words)))


def confidence(evidence: Evidence, *, weight: float) -> float:
    """Tell how well the best candidates answer the query at all, 0..1, comparable between queries.

    `(1 - weight) · (1 - exp(-1.5 · word share)) + weight · best cosine`. Fused scores are relative to the best of their
    query; times this number they mean the same across queries, and their order stays.
    """
    best = float(np.clip(evidence.cosines.max(initial=0.0), 0.0, 1.0))
    return (1.0 - weight) * -float(np.expm1(-_WORD_SATURATION * evidence.word_share)) + weight * best


def _relative(scores: Scores) -> Scores:
    best = scores.max(initial=0.0)
    return np.maximum(scores, 0.0) / best if best > 0 else np.zeros(len(scores))


def _reciprocal_ranks(scores: Scores, *, k: int) -> Scores:
    ranks = len(scores) - np.searchsorted(np.sort(scores), scores, side="right") + 1
    return np.where(scores > 0, (k + 1) / (k + ranks), 0.0)
