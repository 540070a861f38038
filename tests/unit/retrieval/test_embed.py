"""Windows over texts, and what comes out of them."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ConfigurationError
from localassist.retrieval.embed import (
    EmbeddingRecipe,
    Ids,
    QueryCache,
    WindowEmbedder,
    WindowPlan,
    in_order,
    layout,
    pieces,
    sub_window_means,
    to_codes,
    tokenize,
    unit_rows,
    window_starts,
)
from localassist.retrieval.embedders.hashing import HashingModel, hashing_embedder
from localassist.retrieval.model import EmbeddedText, Vectors

PLAN = WindowPlan(size=6, stride=4, sub_size=3, sub_stride=2)
WORDS = st.text("ab漢字😀é \n.", max_size=80)


@given(n=st.integers(0, 500), size=st.integers(1, 60), data=st.data())
def test_every_token_lies_in_a_window_and_no_window_is_longer_than_its_size(n: int, size: int, data: st.DataObject):
    stride = data.draw(st.integers(1, size))

    starts = window_starts(n, size=size, stride=stride)

    covered = {token for start in starts.tolist() for token in range(start, min(start + size, n))}
    assert covered == set(range(n))
    assert all(a < b <= a + stride for a, b in itertools.pairwise(starts.tolist()))
    assert n == 0 or starts[-1] == max(n - size, 0)


def test_windows_of_200_every_150_end_with_the_text():
    assert window_starts(0, size=200, stride=150).tolist() == []
    assert window_starts(200, size=200, stride=150).tolist() == [0]
    assert window_starts(201, size=200, stride=150).tolist() == [0, 1]
    assert window_starts(866, size=200, stride=150).tolist() == [0, 150, 300, 450, 600, 666]


def test_a_window_of_200_has_twelve_sub_windows_of_32():
    starts, means = sub_window_means(200, 32, 16)

    assert starts.tolist() == [*range(0, 161, 16), 168]
    np.testing.assert_allclose(means.sum(axis=1), 1, rtol=1e-6)
    assert all((row[start : start + 32] > 0).all() for row, start in zip(means, starts, strict=True))


def test_a_window_shorter_than_a_sub_window_is_one_mean():
    starts, means = sub_window_means(4, 32, 16)

    assert starts.tolist() == [0]
    assert means.tolist() == [[0.25] * 4]


@given(text=st.text("ab \n漢", max_size=200), size=st.integers(4, 30))
def test_pieces_join_to_the_text_and_none_is_longer_than_asked(text: str, size: int):
    spans = list(pieces(text, size=size))

    assert "".join(text[a:b] for a, b in spans) == text
    assert all(0 < b - a <= size for a, b in spans)


def test_a_piece_ends_behind_a_blank_where_it_can():
    assert list(pieces("aaaa bbb cccc", size=10)) == [(0, 9), (9, 13)]


def spans_are_sound(text: str, result: EmbeddedText) -> None:
    for spans in (result.window_spans, result.sub_spans):
        assert ((spans >= 0) & (spans <= len(text))).all()
        assert (spans[:, 0] < spans[:, 1]).all()
    assert (np.diff(result.window_spans, axis=0) >= 0).all()
    assert (np.diff(result.sub_window) >= 0).all()
    inside = result.window_spans[result.sub_window]
    assert (result.sub_spans[:, 0] >= inside[:, 0]).all()
    assert (result.sub_spans[:, 1] <= inside[:, 1]).all()


@given(text=WORDS)
def test_spans_lie_inside_the_text_in_order_and_cover_every_word(text: str):
    result = hashing_embedder(16, plan=PLAN).embed_text(text)

    spans_are_sound(text, result)
    for spans in (result.window_spans, result.sub_spans):
        covered = {i for a, b in spans.tolist() for i in range(a, b)}
        assert covered >= {i for i, character in enumerate(text) if character not in " \n"}
    assert len(result.window_vectors) == len(result.window_spans)
    assert len(result.sub_vectors) == len(result.sub_scales) == len(result.sub_spans) == len(result.sub_window)


@given(text=WORDS)
def test_vectors_are_those_of_the_words_in_their_spans(text: str):
    result = hashing_embedder(16, plan=PLAN).embed_text(text)

    model = HashingModel(16)
    for (a, b), vector in zip(result.window_spans.tolist(), result.window_vectors, strict=True):
        expected = unit_rows(model.forward(model.tokenize(text[a:b])[0][None].astype(np.int64)).mean(axis=1))[0]
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    subs = zip(result.sub_spans.tolist(), result.sub_vectors, result.sub_scales, strict=True)
    for (a, b), codes, scale in subs:
        expected = unit_rows(model.forward(model.tokenize(text[a:b])[0][None].astype(np.int64)).mean(axis=1))[0]
        np.testing.assert_allclose(codes * scale, expected, atol=0.02)


@given(text=WORDS, workers=st.integers(1, 3), batch_size=st.integers(1, 4))
def test_threads_and_batches_change_nothing(text: str, workers: int, batch_size: int):
    recipe = EmbeddingRecipe("hashing", languages=("*",), max_tokens=256, plan=PLAN)
    embedder = WindowEmbedder(HashingModel(16), recipe, workers=workers, batch_size=batch_size)

    result = embedder.embed_text(text)

    expected = hashing_embedder(16, plan=PLAN).embed_text(text)
    for field in ("window_spans", "window_vectors", "sub_spans", "sub_vectors", "sub_scales", "sub_window"):
        np.testing.assert_array_equal(getattr(result, field), getattr(expected, field))


def test_a_text_of_many_pieces_has_the_tokens_of_the_whole():
    text = " ".join(f"word{i} 漢字" for i in range(6_000))

    tokens = tokenize(text, HashingModel())

    ids, spans = HashingModel().tokenize(text)
    assert len(list(pieces(text))) > 3
    np.testing.assert_array_equal(tokens.ids, ids)
    np.testing.assert_array_equal(tokens.spans, spans)


def test_windows_of_a_text_have_one_length_and_share_batches():
    assert set(layout(23, PLAN).lengths.tolist()) == {6}
    batches = list(layout(23, PLAN).batches(2))

    assert [len(batch) for batch in batches] == [2, 2, 2]
    assert [i for batch in batches for i in batch] == list(range(6))
    assert [len(b) for b in layout(3, PLAN).batches(8)] == [1]


@given(seed=st.integers(0, 2**32 - 1), dim=st.sampled_from([8, 64, 384]), heavy=st.booleans())
def test_codes_are_unit_vectors_as_near_as_their_largest_number_allows(seed: int, dim: int, heavy: bool):
    random = np.random.default_rng(seed)
    numbers = random.standard_t(3, (20, dim)) if heavy else random.standard_normal((20, dim))
    vectors = unit_rows(numbers.astype(np.float32))

    codes, scales = to_codes(vectors)

    assert codes.dtype == np.int8
    restored = codes * scales[:, None]
    np.testing.assert_allclose(np.linalg.norm(restored, axis=1), 1, rtol=1e-5)
    half_a_step = np.abs(vectors).max(axis=1) / 254
    # Rounding moves a row by half a step in every direction at most; its new length, 1, adds the same again at most.
    assert (np.linalg.norm(restored - vectors, axis=1) <= 2 * half_a_step * np.sqrt(dim) + 1e-6).all()


def test_codes_of_a_row_of_zeros_are_zeros_and_finite():
    codes, scales = to_codes(np.zeros((2, 8), np.float32))

    assert not codes.any()
    assert scales.tolist() == [0, 0]


def test_a_text_without_words_has_no_window():
    result = hashing_embedder(16).embed_text(" \n\t ")

    assert result.window_vectors.shape == result.sub_vectors.shape == (0, 16)
    assert result.window_spans.shape == result.sub_spans.shape == (0, 2)


def test_progress_never_goes_back_and_ends_with_all_tokens():
    heard: list[tuple[int, int]] = []

    hashing_embedder(16, plan=PLAN).embed_text("a b c d e f g h i j k", progress=lambda *args: heard.append(args))

    assert heard == [(6, 11), (10, 11), (11, 11)]


def test_an_error_in_progress_ends_the_work():
    recipe = EmbeddingRecipe("hashing", languages=("*",), max_tokens=256, plan=PLAN)
    embedder = WindowEmbedder(HashingModel(16), recipe, workers=2)

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        embedder.embed_text("word " * 1_000, progress=stop)


def test_work_is_done_in_order_and_few_items_ahead():
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda i: i * i, items(), workers=2)

    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 2 * 2 + 1
    assert list(results) == [i * i for i in range(3, 100)]


class PrefixedModel(HashingModel):
    """Two special tokens before a text, one after; remembers what it saw."""

    special_ids = ((7, 8), (9,))

    def __init__(self) -> None:
        super().__init__(16)
        self.seen: list[list[int]] = []

    def forward(self, ids: Ids) -> Vectors:
        self.seen += ids.tolist()
        return super().forward(ids)


def test_prefixes_and_special_tokens_surround_a_text_and_stay_out_of_sub_windows():
    model = PrefixedModel()
    recipe = EmbeddingRecipe(
        "m", languages=("en",), max_tokens=8, query_prefix="query:", document_prefix="passage:", plan=PLAN
    )
    embedder = WindowEmbedder(model, recipe)

    result = embedder.embed_text("one two three four")
    embedder.embed_query(["one two three four five"])

    ids = {word: int(model.tokenize(word)[0][0]) for word in ("query", "passage", ":", "one", "two", "three", "four")}
    assert model.seen[:2] == [
        [7, 8, ids["passage"], ids[":"], ids["one"], ids["two"], ids["three"], 9],
        [7, 8, ids["passage"], ids[":"], ids["two"], ids["three"], ids["four"], 9],
    ]
    assert model.seen[2] == [7, 8, ids["query"], ids[":"], ids["one"], ids["two"], ids["three"], 9]
    own = unit_rows(model.forward(np.array([[ids["one"], ids["two"], ids["three"]]])).mean(axis=1))[0]
    np.testing.assert_allclose(result.sub_vectors[0] * result.sub_scales[0], own, atol=0.02)


def test_cls_pooling_takes_the_first_token():
    model = PrefixedModel()
    embedder = WindowEmbedder(model, EmbeddingRecipe("m", languages=("en",), max_tokens=64, pooling="cls"))

    vector = embedder.embed_query(["anything"])[0]

    np.testing.assert_allclose(vector, unit_rows(model.forward(np.array([[7]]))[0])[0], rtol=1e-6)


def test_prefixes_that_leave_no_room_are_refused():
    with pytest.raises(ConfigurationError, match="max_tokens = 3 leaves no room"):
        WindowEmbedder(PrefixedModel(), EmbeddingRecipe("m", languages=("en",), max_tokens=3))


def test_names_differ_when_vectors_do():
    recipes = [
        EmbeddingRecipe("m", languages=("en",), max_tokens=64),
        EmbeddingRecipe("m", languages=("en",), max_tokens=64, pooling="cls"),
        EmbeddingRecipe("m", languages=("en",), max_tokens=64, query_prefix="q "),
        EmbeddingRecipe("m", languages=("en",), max_tokens=64, document_prefix="q "),
        EmbeddingRecipe("m", languages=("en",), max_tokens=32),
        EmbeddingRecipe("n", languages=("en",), max_tokens=64),
    ]

    assert len({WindowEmbedder(HashingModel(), recipe).name for recipe in recipes}) == len(recipes)


def test_an_empty_list_of_queries_gives_an_empty_matrix():
    assert hashing_embedder(16).embed_query([]).shape == (0, 16)


def test_lone_surrogates_and_huge_queries_are_embedded():
    vectors = hashing_embedder(16).embed_query(["word \ud800", "word " * 100_000, ""])

    assert np.isfinite(vectors).all()


def test_a_query_is_computed_once_until_newer_ones_push_it_out():
    computed: list[str] = []
    cache = QueryCache(size=2)

    def compute(query: str):
        computed.append(query)
        return np.zeros(1, np.float32)

    for query in ("a", "b", "a", "c", "a", "b"):
        cache.get(query, compute)

    assert computed == ["a", "b", "c", "b"]


def test_the_query_cache_serves_threads():
    cache = QueryCache(size=3)
    barrier = threading.Barrier(4)

    def ask(worker: int) -> bool:
        barrier.wait()
        queries = [str((i * worker) % 7) for i in range(1, 400)]
        return all(cache.get(q, lambda q: np.array([float(q)], np.float32))[0] == float(q) for q in queries)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(1, 5)))
