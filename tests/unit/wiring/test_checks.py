"""Names of models that lead nowhere are refused before anything is opened."""

from pathlib import Path

import pytest

from localassist.config import Settings, quiet_litellm
from localassist.errors import ConfigurationError
from localassist.wiring import Engine
from localassist.wiring.checks import PROVIDERS, check_names

URL = "http://127.0.0.1:9/v1"


def refusal(**options: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_names(Settings.load(**options))
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "m"}, ["The model 'm' names no known provider", "--model-base-url URL", "ollama/m"]),
        ({"model": "foo/bar"}, ["The model 'foo/bar' names no known provider", "--model-base-url URL", "ollama/NAME"]),
        ({"model": "olama/llama3.2"}, ["Did you mean 'ollama/llama3.2'?"]),
        ({"model": "localassist/extractiv"}, ["Did you mean 'localassist/extractive'?"]),
        ({"model": "m", "model_base_url": URL, "adapter": "litellm"}, ["openai/m", "'auto'"]),
        ({"models": {"x": {"model": "foo/bar"}}}, ["The model 'foo/bar'", "base_url under [models.x]"]),
        ({"embedder": "nope"}, ["There is no embedding model 'nope'", "Known models: all-MiniLM-L6-v2"]),
        ({"embedder": "remote:foo"}, ["'remote:foo' has no URL", "--embedder-base-url URL"]),
        ({"embedder": "remote:foo/bar"}, ["'remote:foo/bar' has no URL"]),
        ({"embedder": "remote:"}, ["names no model"]),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_what_to_write(options: dict[str, object], words: list[str]) -> None:
    told = refusal(**options)

    for word in words:
        assert word in told


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "gpt-4o"},
        {"model": "o3-mini"},
        {"model": "ollama/llama3.2"},
        {"model": "foo/bar", "model_base_url": URL},
        {"model": "localassist/extractive", "adapter": "litellm"},
        {"models": {"x": {"model": "m", "base_url": URL}}},
        {"embedder": "remote:foo", "embedder_base_url": URL},
        {"embedder": "remote:voyage/voyage-3"},
        {"embedder": "remote:text-embedding-3-small"},
    ],
)
def test_a_name_that_leads_somewhere_passes(options: dict[str, object]) -> None:
    check_names(Settings.load(**options))


def test_a_folder_is_the_name_of_an_embedder_alone_or_inside_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    check_names(Settings.load(embedder=str(tmp_path / "mine")))
    check_names(Settings.load(embedder="mine", models_folder=tmp_path))


def test_an_engine_is_not_made_with_such_a_name_and_its_home_stays_untouched(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no embedding model 'nope'"):
        Engine(Settings.load(home=tmp_path / "home", embedder="nope"))

    assert list(tmp_path.iterdir()) == []


def test_the_providers_are_those_that_litellm_knows() -> None:
    quiet_litellm()
    import litellm

    assert frozenset(str(getattr(p, "value", p)) for p in litellm.provider_list) == PROVIDERS
