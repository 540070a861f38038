"""Which models are found, and what is said when one is not."""

import importlib.util
import json
from pathlib import Path

import pytest

from localassist.errors import ConfigurationError
from localassist.retrieval.catalogue import Catalogue, packaged_models, read_registry

DEFAULT = "all-MiniLM-L6-v2"


def sentence_transformers_folder(folder: Path, **files: object) -> Path:
    """Write the files that describe a model; the weights are a few bytes, as nothing here reads them."""
    written = {
        "config.json": {"hidden_size": 32, "max_position_embeddings": 512},
        "modules.json": [{"type": "sentence_transformers.models.Transformer"}],
        "tokenizer.json": {},
        "model.safetensors": "weights",
        **{name.replace("__", "/"): content for name, content in files.items()},
    }
    for name, content in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def registry_entry(folder: Path, **changes: str) -> None:
    lines = {
        "kind": '"embedding"',
        "backend": '"onnx"',
        "languages": '["de"]',
        "dim": "4",
        "max_tokens": "128",
        "pooling": '"cls"',
        "size_mb": "1.5",
        "files": '{"model.onnx" = "00"}',
        **changes,
    }
    folder.mkdir(exist_ok=True)
    text = "[mine]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value)
    (folder / "registry.toml").write_text(text, encoding="utf-8")


def test_the_default_model_ships_and_its_files_are_the_registered_ones():
    model = Catalogue().open(DEFAULT)

    assert (model.card.dim, model.card.languages, model.card.backend) == (384, ("en",), "onnx")
    assert model.onnx_file.is_file()
    assert str(model.recipe.plan) == "200/150+32/16"
    assert model.recipe.name.startswith(f"{DEFAULT}@")


def test_the_readme_of_the_models_is_the_one_that_the_registry_makes():
    spec = importlib.util.spec_from_file_location("make_readme", packaged_models() / "make_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert (packaged_models() / "README.md").read_text(encoding="utf-8") == module.render()


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"no embedding model 'nonesuch'. Known models: all-MiniLM-L6-v2"):
        Catalogue().open("nonesuch")


@pytest.mark.parametrize("name", ["", ".", "..", "../models", "a\0b"])
def test_odd_names_are_refused_or_no_model(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError):
        Catalogue([tmp_path]).open(name)


def test_a_changed_file_is_refused_with_both_digests(tmp_path: Path):
    registry_entry(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").write_bytes(b"other")

    with pytest.raises(ConfigurationError, match=r"model\.onnx is not the file.*SHA-256 is d9298a10.*expected 00"):
        Catalogue([tmp_path]).open("mine")


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path):
    digest = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"
    registry_entry(tmp_path, files=f'{{"model.onnx" = "{digest}"}}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.onnx").write_bytes(b"other")
    catalogue = Catalogue([tmp_path])
    assert catalogue.open("mine").card.languages == ("de",)

    (tmp_path / "mine" / "model.onnx").write_bytes(b"changed")

    with pytest.raises(ConfigurationError, match="is not the file"):
        catalogue.open("mine")


def test_a_known_model_without_files_says_where_they_belong(tmp_path: Path):
    registry_entry(tmp_path)

    with pytest.raises(ConfigurationError, match=r"known but not here.*model\.onnx.*mine"):
        Catalogue([tmp_path]).open("mine")


def test_a_missing_file_of_a_model_is_named(tmp_path: Path):
    registry_entry(tmp_path)
    (tmp_path / "mine").mkdir()

    with pytest.raises(ConfigurationError, match=r"lacks .*model\.onnx"):
        Catalogue([tmp_path]).open("mine")


def test_a_packaged_name_cannot_be_taken_by_a_folder_of_the_user(tmp_path: Path):
    sentence_transformers_folder(tmp_path / DEFAULT)

    assert Catalogue([tmp_path]).open(DEFAULT).folder == packaged_models() / DEFAULT


@pytest.mark.parametrize(
    "changes", [{"pooling": ""}, {"pooling": '"max"'}, {"surprise": "1"}, {"dim": '"many"'}, {"languages": "[]"}]
)
def test_a_registry_with_a_fault_is_named(tmp_path: Path, changes: dict[str, str]):
    registry_entry(tmp_path, **changes)

    with pytest.raises(ConfigurationError, match=r"registry\.toml cannot be used"):
        read_registry(tmp_path / "registry.toml")


def test_a_registry_that_is_not_toml_is_named(tmp_path: Path):
    (tmp_path / "registry.toml").write_text("[[[", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"registry\.toml cannot be used"):
        Catalogue([tmp_path]).cards()


def test_a_folder_of_the_user_is_found_by_name_and_by_path(tmp_path: Path):
    folder = sentence_transformers_folder(tmp_path / "own")

    by_name, by_path = Catalogue([tmp_path]).open("own"), Catalogue().open(str(folder))

    assert by_name.card == by_path.card.model_copy(update={"source": by_name.card.source})
    assert (by_path.card.backend, by_path.card.dim, by_path.card.max_tokens) == ("sentence-transformers", 32, 512)


def test_a_folder_says_how_its_model_wants_its_texts(tmp_path: Path):
    folder = sentence_transformers_folder(
        tmp_path / "own",
        **{
            "README.md": "---\nlanguage:\n- en\n- zh\nlicense: mit\n---\n",
            "sentence_bert_config.json": {"max_seq_length": 128},
            "1_Pooling__config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
            "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
            "onnx__model.onnx": "graph",
        },
    )

    model = Catalogue().open(str(folder))

    assert (model.card.languages, model.card.max_tokens, model.card.pooling) == (("en", "zh"), 128, "cls")
    assert (model.recipe.query_prefix, model.recipe.document_prefix) == ("query: ", "passage: ")
    assert (model.card.backend, model.onnx_file) == ("onnx", folder / "onnx" / "model.onnx")


@pytest.mark.parametrize(
    ("head", "languages"),
    [
        ("language: multilingual", ("*",)),
        ("language: [en, de]", ("en", "de")),
        ("license: mit", ("en",)),
        ("", ("en",)),
    ],
)
def test_languages_come_from_the_head_of_the_readme(tmp_path: Path, head: str, languages: tuple[str, ...]):
    folder = sentence_transformers_folder(tmp_path / "own", **{"README.md": f"---\n{head}\n---\nlanguage: xx\n"})

    assert Catalogue().open(str(folder)).card.languages == languages


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": {}}, "not a sentence-transformers folder"),
        ({"config.json": "{"}, "cannot be read as JSON"),
        ({"modules.json": [{"type": "sentence_transformers.models.Dense"}]}, "has the module 'Dense'"),
        ({"1_Pooling__config.json": {"pooling_mode_max_tokens": True}}, r"pools by \['max_tokens'\]"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, files: dict[str, object], message: str
):
    folder = sentence_transformers_folder(tmp_path / "own", **files)

    with pytest.raises(ConfigurationError, match=message):
        Catalogue().open(str(folder))


def test_other_weights_make_another_name(tmp_path: Path):
    one = sentence_transformers_folder(tmp_path / "1" / "own")
    two = sentence_transformers_folder(tmp_path / "2" / "own", **{"model.safetensors": "others"})

    assert Catalogue().open(str(one)).recipe.name != Catalogue().open(str(two)).recipe.name
