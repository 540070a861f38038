"""The model that ships: its tokens, its numbers, its manners."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ConfigurationError
from localassist.retrieval.catalogue import Catalogue
from localassist.retrieval.embed import WindowEmbedder, tokenize, unit_rows
from localassist.retrieval.embedders.onnx import OnnxModel
from localassist.retrieval.embedders.wordpieces import Wordpieces

SENTENCE = "The cat sits on the mat."
FIRST_NUMBERS = {"all-MiniLM-L6-v2": [0.1342, -0.0329, -0.0248, 0.0414, -0.0363, 0.0418, 0.0312, 0.0372]}
"""The vector of SENTENCE by the published weights in 32 bits, made with sentence-transformers 6.2.0."""
FOLDER = Catalogue().open("all-MiniLM-L6-v2").folder


def load(name: str) -> WindowEmbedder:
    local = Catalogue().open(name)
    return WindowEmbedder(OnnxModel(local.onnx_file, local.folder / "tokenizer.json"), local.recipe)


@pytest.fixture(scope="module")
def embedder() -> WindowEmbedder:
    return load("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return OnnxModel(FOLDER / "model.onnx", FOLDER / "tokenizer.json")


@pytest.mark.parametrize("card", Catalogue().cards(), ids=lambda card: card.name)
def test_the_first_numbers_of_a_registered_model_are_those_of_the_published_one(card):
    vector = load(card.name).embed_query([SENTENCE])[0]

    assert len(vector) == card.dim
    np.testing.assert_allclose(vector[:8], FIRST_NUMBERS[card.name], atol=0.02)


def test_what_means_the_same_is_nearer_than_what_does_not(embedder: WindowEmbedder):
    near, far, query = embedder.embed_query(
        ["A feline rests on a rug.", "Interest rates rose by half a point.", SENTENCE]
    )

    assert query @ near > 0.5
    assert query @ far < 0.2


def test_a_short_text_has_the_vector_of_the_query_with_the_same_words(embedder: WindowEmbedder):
    result = embedder.embed_text(f"  {SENTENCE}\n")

    assert result.window_spans.tolist() == [[2, 2 + len(SENTENCE)]]
    assert result.sub_spans.tolist() == result.window_spans.tolist()
    np.testing.assert_array_equal(result.window_vectors, embedder.embed_query([SENTENCE]))


def test_the_vector_of_a_window_does_not_depend_on_what_is_embedded_beside_it(embedder: WindowEmbedder):
    text = " ".join(f"Sentence {i} is about apples and pears." for i in range(60))
    local = Catalogue().open("all-MiniLM-L6-v2")
    threaded = WindowEmbedder(OnnxModel(local.onnx_file, local.folder / "tokenizer.json"), local.recipe, workers=3)

    one, other = embedder.embed_text(text), threaded.embed_text(text)

    assert len(one.window_vectors) > 2
    np.testing.assert_array_equal(one.window_vectors, other.window_vectors)
    np.testing.assert_array_equal(one.sub_vectors, other.sub_vectors)
    np.testing.assert_allclose(np.linalg.norm(one.window_vectors, axis=1), 1, rtol=1e-5)


def test_cosines_of_codes_are_wrong_by_less_than_five_thousandths(embedder: WindowEmbedder, model: OnnxModel):
    text = " ".join(f"In the year {1900 + i} a treaty on fishing was signed." for i in range(17))
    queries = embedder.embed_query(["Which treaty was signed?", "fishing", "interest rates", "a recipe for bread"])
    ids, _ = model.tokenize(text)
    assert 160 < len(ids) <= 200

    result = embedder.embed_text(text)

    outputs = model.forward(np.array([[101, *ids, 102]], np.int64))[0, 1:-1]
    starts = [*range(0, len(ids) - 32, 16), len(ids) - 32]
    exact = unit_rows(np.stack([outputs[start : start + 32].mean(axis=0) for start in starts]))
    restored = result.sub_vectors.astype(np.float32) * result.sub_scales[:, None]
    assert len(restored) == len(exact)
    np.testing.assert_allclose(restored @ queries.T, exact @ queries.T, atol=0.005)
    assert np.abs(restored @ queries.T - exact @ queries.T).max() > 0


def test_a_sub_window_finds_the_one_sentence_that_differs(embedder: WindowEmbedder):
    filler = "The committee discussed the annual budget and the schedule of its meetings. "
    text = filler * 8 + "Penguins are flightless birds of the southern seas. " + filler * 8

    result = embedder.embed_text(text)
    query = embedder.embed_query(["Which birds cannot fly?"])[0]

    scores = result.sub_scales * (result.sub_vectors.astype(np.float32) @ query)
    start, end = result.sub_spans[int(np.argmax(scores))]
    assert "Penguins" in text[start:end]


WORDPIECES = Wordpieces.from_file(FOLDER / "tokenizer.json")


@given(st.text("aé漢字한글😀👍🏽\u0301 .\n[SEP]", max_size=60))
def test_spans_name_whole_characters_of_the_text_behind_any_script(text: str):
    ids, spans = WORDPIECES.tokenize(text)

    assert len(ids) == len(spans)
    assert (spans[:, 0] < spans[:, 1]).all()
    assert not len(spans) or (spans.min() >= 0 and spans.max() <= len(text))


def test_spans_behind_emoji_and_han_name_the_words_themselves(model: OnnxModel):
    text = "😀👍🏽 漢字 café na\u0308ive 한국어 end"

    _, spans = model.tokenize(text)

    words = [text[a:b] for a, b in spans.tolist()]
    assert {"漢", "字", "café", "end"} <= set(words)
    assert words[-1] == "end"


@pytest.mark.parametrize("word", ["x" * 1_000, "9f86d081884c7d65" * 40, "가나다라마바사" * 30, "ﷺ" * 150])
def test_a_word_too_long_for_the_model_is_still_seen(model: OnnxModel, word: str):
    text = f"before {word} after"

    ids, spans = model.tokenize(text)

    unknown = 100
    long_unknown = (ids == unknown) & (spans[:, 1] - spans[:, 0] > 24)
    covered = {i for a, b in spans.tolist() for i in range(a, b)}
    assert not long_unknown.any()
    assert len(ids) > len(word) // 24
    assert covered >= {i for i, character in enumerate(text) if character != " "}


def test_data_without_blanks_has_its_place_in_the_windows_but_is_not_read(model: OnnxModel):
    text = "before " + "q7Zk" * 1_000 + " after"

    ids, spans = model.tokenize(text)

    assert len(ids) == 2 + -(-4_000 // 24)
    assert spans[0].tolist() == [0, 6]
    assert spans[1:-1, 0].tolist() == list(range(7, 4_007, 24))
    assert spans[-2:].tolist() == [[3_991, 4_007], [4_008, 4_013]]


def test_a_megabyte_without_a_blank_is_tokenised_within_seconds(model: OnnxModel):
    text = "a" * 1_000_000

    started = time.process_time()
    tokens = tokenize(text, model)

    assert time.process_time() - started < 10
    assert tokens.spans[-1, 1] == len(text)
    assert len(tokens.ids) > len(text) // 24


def test_a_text_cut_in_pieces_has_the_tokens_of_the_whole(model: OnnxModel):
    text = "".join(f"Word{i}, naïve 漢字 — “quoted”\n" for i in range(2_000))

    tokens = tokenize(text, model)

    ids, spans = model.tokenize(text)
    np.testing.assert_array_equal(tokens.ids, ids)
    np.testing.assert_array_equal(tokens.spans, spans)


@pytest.mark.parametrize("query", ["", " ", "\0", "\ud800", "[CLS]", "word " * 5_000])
def test_odd_queries_have_vectors_of_length_one(embedder: WindowEmbedder, query: str):
    np.testing.assert_allclose(np.linalg.norm(embedder.embed_query([query])[0]), 1, rtol=1e-5)


def test_a_file_that_is_no_model_is_named(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"model\.onnx is not an ONNX model"):
        OnnxModel(tmp_path / "model.onnx", FOLDER / "tokenizer.json")
    with pytest.raises(ConfigurationError, match=r"tokenizer\.json is not a tokenizer"):
        OnnxModel(FOLDER / "model.onnx", tmp_path / "tokenizer.json")


def test_loading_and_embedding_print_nothing_start_no_thread_and_write_no_file(tmp_path: Path):
    """onnxruntime reports to its maker from a thread of its own, and keeps what it has not sent in the home folder."""
    code = (
        "import os\n"
        "from localassist.retrieval.catalogue import Catalogue\n"
        "from localassist.retrieval.embed import WindowEmbedder\n"
        "from localassist.retrieval.embedders.onnx import OnnxModel\n"
        "local = Catalogue().open('all-MiniLM-L6-v2')\n"
        "model = OnnxModel(local.onnx_file, local.folder / 'tokenizer.json')\n"
        "WindowEmbedder(model, local.recipe).embed_text('a few words ' * 300)\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(tmp_path)},
    )

    assert (done.stdout, done.stderr) == ("1\n", "")
    assert list(tmp_path.rglob("*")) == []
