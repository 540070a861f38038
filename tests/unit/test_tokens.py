import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from localassist import tokens
from localassist.errors import ConfigurationError

ENCODINGS = get_args(tokens.EncodingName)
MIXED = st.text(st.one_of(st.sampled_from(" \n\r/'s_-.1aéÀ漢字。️́🏳🌈क्षि"), st.characters(exclude_categories=["Cs"])))


def whole(name: tokens.EncodingName) -> tiktoken.Encoding:
    """tiktoken on the whole text at once, for comparison."""
    return tokens.tokenizer(name)._encoding


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        # from the documentation of the hosted service and of tiktoken
        ("cl100k_base", "tiktoken is great!", [83, 1609, 5963, 374, 2294, 0]),
        ("cl100k_base", "hello world", [15339, 1917]),
        ("o200k_base", "hello world", [24912, 2375]),
        ("o200k_base", "antidisestablishmentarianism", [493, 129901, 376, 160388, 21203, 2367]),
    ],
)
def test_known_texts_have_their_published_tokens(encoding: tokens.EncodingName, text: str, expected: list[int]) -> None:
    assert tokens.tokenizer(encoding).encode(text) == expected
    assert tokens.count(text, encoding) == len(expected)


@given(text=MIXED, name=st.sampled_from(ENCODINGS))
def test_spans_partition_the_text_into_whole_characters(text: str, name: tokens.EncodingName) -> None:
    spans = tokens.token_spans(text, name)

    assert spans.dtype == np.int64
    assert len(spans) == tokens.count(text, name)
    assert "".join(text[a:b] for a, b in spans.tolist()) == text
    assert spans[1:, 0].tolist() == spans[:-1, 1].tolist()


@given(text=MIXED)
def test_a_span_holds_the_characters_its_token_begins(text: str) -> None:
    encoding = whole("o200k_base")

    spans = tokens.token_spans(text).tolist()

    pieces = [encoding.decode_single_token_bytes(t) for t in tokens.tokenizer().encode(text)]
    for (start, end), piece in zip(spans, pieces, strict=True):
        assert end - start == sum((byte & 0xC0) != 0x80 for byte in piece)


@given(text=MIXED.filter(lambda t: len(t) > 1), name=st.sampled_from(ENCODINGS), data=st.data())
def test_a_text_cut_where_letters_end_has_the_tokens_of_the_whole(
    text: str, name: tokens.EncodingName, data: st.DataObject
) -> None:
    cut = tokens._harmless_cut(text, data.draw(st.integers(1, len(text) - 1)))

    if cut is not None:
        encoding = whole(name)
        pieces = encoding.encode_ordinary(text[:cut]) + encoding.encode_ordinary(text[cut:])
        assert pieces == encoding.encode_ordinary(text)


@pytest.mark.parametrize(
    ("text", "at"), [("so it's", 2), ("a\u0301b c", 3), ("漢字。次", 2), ("abc", None), ("1 2", None)]
)
def test_a_text_is_cut_behind_letters_but_not_before_what_belongs_to_them(text: str, at: int | None) -> None:
    assert tokens._harmless_cut(text, len(text) - 1) == at


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_long_ordinary_text_has_the_tokens_of_the_whole(name: tokens.EncodingName) -> None:
    text = "It's 3.14 o'clock;\n\n  the “naïve” café's déjà-vu — 東京都は日本の首都。\t_x_ = {'a': 1}\r\n" * 2_000

    assert len(text) > 4 * tokens.SEGMENT_CHARACTERS
    assert tokens.tokenizer(name).encode(text) == whole(name).encode_ordinary(text)


@pytest.mark.parametrize(
    ("text", "limit_s"),
    [(" " * 1_000_000, 2.0), ("abcdefghij" * 300_000, 6.0), ("漢字仮名交文" * 150_000, 4.0), ("\t \n" * 300_000, 2.0)],
    ids=["a million blanks", "three million letters", "900,000 Han characters", "blanks and line ends"],
)
def test_texts_without_structure_take_bounded_time(text: str, limit_s: float) -> None:
    tokens.tokenizer()
    started = time.process_time()

    spans = tokens.token_spans(text)

    assert spans[-1, 1] == len(text)
    assert time.process_time() - started < limit_s


def test_lone_surrogates_do_not_stop_it() -> None:
    text = "a\ud800b\udfff漢"

    spans = tokens.token_spans(text)

    assert "".join(text[a:b] for a, b in spans.tolist()) == text
    assert tokens.count(text) == len(spans)


def test_the_empty_text_has_no_tokens() -> None:
    assert tokens.count("") == 0
    assert tokens.token_spans("").shape == (0, 2)


def test_marks_of_special_tokens_are_ordinary_text() -> None:
    assert tokens.count("<|endoftext|>") > 1


def test_a_missing_vocabulary_is_a_configuration_error_and_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="never downloaded"):
        tokens.load_tokenizer("o200k_base", tmp_path)


def test_a_changed_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"IQ== 0\n")

    with pytest.raises(ConfigurationError, match="not the published one"):
        tokens.load_tokenizer("o200k_base", tmp_path)


def test_an_unknown_encoding_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'o200k_base', 'cl100k_base'"):
        tokens.load_tokenizer("p50k_base", tmp_path)  # type: ignore[arg-type] # the mistake under test


def test_importing_loads_no_vocabulary_and_counting_never_imports_litellm() -> None:
    code = (
        "import sys; from localassist import tokens; assert not tokens._loaded;"
        "tokens.count('x'); assert 'litellm' not in sys.modules; assert list(tokens._loaded) == ['o200k_base']"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
