"""The optional adapter: what happens without its library, and with it where it is installed."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localassist.retrieval.catalogue import Catalogue
from localassist.retrieval.embed import WindowEmbedder

INSTALLED = importlib.util.find_spec("sentence_transformers") is not None


@pytest.mark.skipif(INSTALLED, reason="the library is installed here")
def test_without_the_library_the_error_carries_the_command_that_installs_it():
    code = (
        "from localassist.errors import MissingDependencyError\n"
        "try:\n"
        "    import localassist.retrieval.embedders.sentence_transformers\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install 'localassist[sentence-transformers]'" in done.stdout


@pytest.mark.skipif(not INSTALLED, reason="needs the extra [sentence-transformers]")
@pytest.mark.filterwarnings("default")
def test_a_short_text_has_the_vector_that_the_library_itself_gives(tmp_path: Path):
    sentence_transformers: Any = importlib.import_module("sentence_transformers")
    transformers: Any = importlib.import_module("transformers")

    from localassist.retrieval.embedders.sentence_transformers import SentenceTransformersModel

    folder = tmp_path / "tiny"
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=30522
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = Catalogue().open("all-MiniLM-L6-v2").folder / "tokenizer.json"
    transformers.BertTokenizerFast(tokenizer_file=str(tokenizer)).save_pretrained(folder)
    library = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    library.save(str(folder))
    assert json.loads((folder / "modules.json").read_text(encoding="utf-8"))

    local = Catalogue().open(str(folder))
    embedder = WindowEmbedder(SentenceTransformersModel(local.folder, device="cpu"), local.recipe, batch_size=4)
    vector = embedder.embed_query(["Two short sentences. One vector."])[0]
    result = embedder.embed_text("many words of a text " * 100)

    expected = library.encode(["Two short sentences. One vector."], normalize_embeddings=True)[0]
    np.testing.assert_allclose(vector, expected, atol=1e-4)
    assert local.card.backend == "sentence-transformers"
    assert len(result.window_vectors) == 3
    assert len(result.sub_vectors) == 3 * 12
