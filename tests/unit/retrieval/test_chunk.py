import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist import tokens
from localassist.retrieval.chunk import chunk_by_tokens


def word_spans(text: str) -> np.ndarray:
    return np.array([m.span() for m in re.finditer(r"\w+", text)], dtype=np.int64).reshape(-1, 2)


@given(document=st.text("aé漢 \n"), size=st.integers(1, 9), data=st.data())
def test_chunks_quote_the_document_and_rebuild_it(document: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2)) if size > 1 else 0

    chunks = chunk_by_tokens(word_spans(document), size=size, overlap=overlap)

    words = [re.findall(r"\w+", document[c.start : c.end]) for c in chunks]
    assert [c.n_tokens for c in chunks] == [len(w) for w in words]
    assert all(overlap < len(w) <= size for w in words[1:])
    assert all(len(w) == size for w in words[:-1])
    assert sum((w[overlap:] for w in words[1:]), words[0] if words else []) == re.findall(r"\w+", document)


@given(n_tokens=st.integers(0, 60), size=st.integers(1, 12), data=st.data())
def test_no_chunk_lies_inside_its_predecessor(n_tokens: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    spans = np.stack([np.arange(n_tokens), np.arange(1, n_tokens + 1)], axis=1)

    chunks = chunk_by_tokens(spans, size=size, overlap=overlap)

    assert all(later.end > earlier.end for earlier, later in itertools.pairwise(chunks))
    assert {i for c in chunks for i in range(c.start, c.end)} == set(range(n_tokens))


@given(text=st.text("漢字🏳️‍🌈é a\u0301", max_size=60), size=st.integers(1, 5))
def test_chunks_without_overlap_are_the_text_on_whole_characters(text: str, size: int) -> None:
    chunks = chunk_by_tokens(tokens.token_spans(text), size=size, overlap=0)

    assert "".join(text[c.start : c.end] for c in chunks) == text
    assert all(c.end > c.start for c in chunks)


def test_eight_hundred_tokens_with_half_overlap_is_the_default() -> None:
    spans = np.stack([np.arange(2000), np.arange(1, 2001)], axis=1)

    chunks = chunk_by_tokens(spans)

    assert [(c.start, c.end, c.n_tokens) for c in chunks] == [
        (0, 800, 800),
        (400, 1200, 800),
        (800, 1600, 800),
        (1200, 2000, 800),
    ]


def test_a_text_that_fits_is_one_chunk() -> None:
    spans = np.array([[0, 3], [3, 5]], dtype=np.int64)

    (chunk,) = chunk_by_tokens(spans)

    assert (chunk.start, chunk.end, chunk.n_tokens) == (0, 5, 2)


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (4, 4), (4, -1), (-1, 0)])
def test_sizes_that_would_never_end_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        chunk_by_tokens(np.zeros((3, 2), dtype=np.int64), size=size, overlap=overlap)
