"""Settings that cannot be used say so in words that help; none is passed over in silence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localassist.config import Settings
from localassist.errors import ConfigurationError

SHOW = """
from localassist.config import Settings
from localassist.errors import ConfigurationError
try:
    settings = Settings.load()
    print(settings.model, settings.allow_hosts, sorted(settings.models))
except ConfigurationError as error:
    print(error)
"""


def load_with(folder: Path, **variables: str) -> str:
    """Read the settings in a process of its own with these variables, and give what came of it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LOCALASSIST_")}  # noqa: TID251 - the environment of a test's own process
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**inherited, "PYTHONPATH": str(Path(__file__).parents[2]), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def refusal(**arguments: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LOCALASSIST_MODELS", "{bad", ["LOCALASSIST_MODELS is not valid JSON", "Example: LOCALASSIST_MODELS='{"]),
        ("LOCALASSIST_CONFIG", "/nope.toml", ["/nope.toml, which LOCALASSIST_CONFIG names, cannot be read"]),
        ("LOCALASSIST_PROT", "1", ["LOCALASSIST_PROT sets nothing", "Did you mean LOCALASSIST_PORT?"]),
        ("LOCALASSIST_ZZZ", "1", ["LOCALASSIST_ZZZ sets nothing", "Known are: LOCALASSIST_ADAPTER"]),
        ("LOCALASSIST_PORT", "tcp", ["port = 'tcp' is not a whole number", "LOCALASSIST_PORT", "port = 8000"]),
        ("LOCALASSIST_ALLOW_HOSTS", "[a", ["is not JSON", 'Example: allow_hosts = ["api.openai.com"']),
        ("LOCALASSIST_MODEL_BASE_URL", "http://a/v1", ["no model is named", "--model NAME or LOCALASSIST_MODEL"]),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_by_its_name(
    tmp_path: Path, variable: str, value: str, words: list[str]
) -> None:
    told = load_with(tmp_path, **{variable: value})

    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("LOCALASSIST_ALLOW_HOSTS", "a.example", "['a.example']"),
        ("LOCALASSIST_ALLOW_HOSTS", "a.example, b.example", "['a.example', 'b.example']"),
        ("LOCALASSIST_ALLOW_HOSTS", '["a.example"]', "['a.example']"),
        ("LOCALASSIST_MODELS__QWEN__MODEL", "ollama/qwen3", "['qwen']"),
        ("LOCALASSIST_TEST_POSTGRES", "postgresql://", "localassist/extractive"),
    ],
)
def test_a_variable_that_can_be_used_is(tmp_path: Path, variable: str, value: str, shown: str) -> None:
    assert shown in load_with(tmp_path, **{variable: value})


def test_an_unknown_name_in_the_settings_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "localassist.toml").write_text("prot = 1\n", encoding="utf-8")

    assert load_with(tmp_path).endswith("prot is no setting. Did you mean port?")


def test_a_settings_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "localassist.toml").write_text("port: 1\n", encoding="utf-8")

    assert load_with(tmp_path).startswith("The settings file localassist.toml is not TOML: ")


def test_what_a_model_lacks_and_what_is_misspelt_is_told_without_its_key() -> None:
    told = refusal(models={"x": {"base_ulr": "http://127.0.0.1/v1", "api_key": "secret-key"}})

    assert "models.x.model is missing. The name its server knows it by" in told
    assert "models.x.base_ulr is no setting. Did you mean base_url?" in told
    assert "secret-key" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "m", "model_base_url": "notaurl"}, "is not a URL that begins with http:// or https://"),
        ({"embedder_base_url": "ftp://127.0.0.1"}, "is not a URL that begins with http:// or https://"),
        ({"models": {"x": {"model": "m", "base_url": "http://"}}}, "is not a URL that begins with http://"),
        ({"models_folder": "/nope"}, "models_folder = '/nope' is not a folder"),
        ({"models_folder": Path("/nope")}, "models_folder = '/nope' is not a folder"),
        ({"allow_hosts": ["http://x.example/foo"]}, "give its host alone: x.example"),
        ({"model_base_url": "http://127.0.0.1:1/v1"}, "no model is named"),
        (
            {"allow_hosts": 5},
            "is not a list (set by LOCALASSIST_ALLOW_HOSTS, an option, an argument or the settings file). Example",
        ),
        ({"model_supports_tools": "maybe"}, "is neither true nor false"),
        ({"port": 65536}, "must be at most 65535"),
        ({"lease_s": 0}, "must be more than 0"),
        ({"adapter": "x"}, "is none of 'auto', 'direct' or 'litellm'"),
    ],
)
def test_each_kind_of_wrong_value_has_its_words(arguments: dict[str, object], words: str) -> None:
    assert words in refusal(**arguments)


def test_a_named_model_needs_no_default_beside_its_url() -> None:
    settings = Settings.load(model="localassist/extractive", model_base_url="http://127.0.0.1:1/v1")

    assert settings.model_base_url == "http://127.0.0.1:1/v1"
