import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from localassist.retrieval.analyze import analyze_text, terms
from localassist.retrieval.lexical import (
    Postings,
    bm25,
    document_frequencies,
    index_spans,
    inverse_document_frequencies,
    merge_postings,
    query_terms,
)

WORDS = st.sampled_from(["apple", "pear", "plum", "quince", "fig", "林檎", "梨園"])
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), min_size=1, max_size=8)


def postings_of(texts: list[str]) -> Postings:
    return merge_postings([index_spans(analyze_text(text), np.array([[0, len(text)]])) for text in texts])


def scored(postings: Postings, query: str, alive: np.ndarray | None = None) -> np.ndarray:
    asked = query_terms(query)
    lengths = postings.lengths if alive is None else postings.lengths[alive]
    idf = inverse_document_frequencies(document_frequencies(postings, asked, alive=alive), len(lengths))
    return bm25(postings, asked, idf=idf, mean_length=lengths.mean() if lengths.sum() else 1.0)


def slow_bm25(texts: list[list[str]], query: list[str], k1: float = 1.5, b: float = 0.75) -> list[float]:
    mean_length = sum(map(len, texts)) / len(texts) or 1.0
    scores = []
    for text in texts:
        score, counts = 0.0, Counter(text)
        for term in query:
            df = sum(term in other for other in texts)
            idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
            tf = counts[term]
            score += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(text) / mean_length))
        scores.append(score)
    return scores


@given(texts=TEXTS, query=st.lists(WORDS, max_size=5).map(" ".join))
def test_scores_are_those_of_the_formula(texts: list[str], query: str) -> None:
    expected = slow_bm25([terms(text) for text in texts], terms(query))

    np.testing.assert_allclose(scored(postings_of(texts), query), expected, atol=1e-12)


@given(texts=TEXTS, query=st.lists(WORDS, max_size=5).map(" ".join), data=st.data())
def test_dead_rows_leave_the_scores_of_the_living_as_if_they_had_never_been(
    texts: list[str], query: str, data: st.DataObject
) -> None:
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts)).filter(any)))
    living = [text for text, lives in zip(texts, alive, strict=True) if lives]

    assert scored(postings_of(texts), query, alive)[alive].tolist() == scored(postings_of(living), query).tolist()


@given(texts=TEXTS, data=st.data())
def test_spans_of_one_text_are_indexed_like_texts_of_their_own(texts: list[str], data: st.DataObject) -> None:
    whole = "\n".join(texts)
    bounds = sorted(data.draw(st.lists(st.integers(0, len(texts)), min_size=2, max_size=6)))
    starts = [0, *np.cumsum([len(text) + 1 for text in texts]).tolist()]
    rows = [(starts[i], starts[j]) for i in bounds for j in bounds if i <= j]

    together = index_spans(analyze_text(whole), np.array(rows))

    separate = postings_of([whole[start:end] for start, end in rows])
    for name in Postings.__slots__:
        np.testing.assert_array_equal(getattr(together, name), getattr(separate, name))


@given(texts=TEXTS, cut=st.integers(1, 7))
def test_merging_in_two_steps_is_merging_at_once(texts: list[str], cut: int) -> None:
    parts = [part for part in (texts[:cut], texts[cut:]) if part]

    stepwise = merge_postings([postings_of(part) for part in parts])

    for name in Postings.__slots__:
        np.testing.assert_array_equal(getattr(stepwise, name), getattr(postings_of(texts), name))


def test_the_order_is_that_of_rank_bm25_where_its_idf_is_positive() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(200)]
    chances = 1 / np.arange(1, 201)
    texts = [" ".join(rng.choice(words, rng.integers(5, 60), p=chances / chances.sum())) for _ in range(300)]
    tokens = [terms(text) for text in texts]
    rare = [term for term, df in Counter(t for text in tokens for t in set(text)).items() if df == 9]

    ours = scored(postings_of(texts), " ".join(rare))

    theirs = BM25Okapi(tokens, k1=1.5, b=0.75).get_scores(rare)
    assert np.count_nonzero(theirs) > 20
    np.testing.assert_array_equal(np.argsort(-ours, kind="stable"), np.argsort(-theirs, kind="stable"))


@pytest.mark.parametrize("query", ["", "of the", "zebra", "?!"])
def test_a_query_without_a_known_term_scores_nothing(query: str) -> None:
    assert scored(postings_of(["apple pear", "plum"]), query).tolist() == [0.0, 0.0]


def test_a_text_without_terms_can_be_indexed() -> None:
    empty = postings_of(["?!", ""])

    assert scored(empty, "apple").tolist() == [0.0, 0.0]
    assert scored(merge_postings([empty, postings_of(["apple"])]), "apple").tolist()[:2] == [0.0, 0.0]
