"""What the doctor says of settings that cannot work, without trying the main job."""

import json
from pathlib import Path

import pytest

from localassist.cli import doctor
from localassist.cli.main import run
from localassist.config import Settings

URL = "http://127.0.0.1:9/v1"


def settings(tmp_path: Path, **options: object) -> Settings:
    return Settings.load(home=tmp_path / "home", **options)


def test_settings_that_cannot_be_used_are_a_finding(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json", "--model-base-url", "notaurl"]) == 1

    (check,) = json.loads(capfd.readouterr().out)["checks"]
    assert (check["name"], check["state"]) == ("settings", "broken")
    assert "begins with http:// or https://" in check["detail"]


def test_a_database_that_is_not_there_yet_is_not_called_good(tmp_path: Path) -> None:
    check = doctor.check_database(settings(tmp_path))

    assert check.state == "note"
    assert check.detail.endswith("made when first used")


def test_a_database_that_is_there_is_good(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    chosen.home.mkdir()
    chosen.sqlite_path.write_bytes(b"")

    assert doctor.check_database(chosen).state == "ok"


@pytest.mark.parametrize(
    ("url", "words"),
    [("foo", "'foo' is not a URL. Give postgresql://"), ("mysql://h/n", "cannot be used. Give postgresql://")],
)
def test_a_database_that_cannot_be_one_has_the_words_it_has_elsewhere(tmp_path: Path, url: str, words: str) -> None:
    check = doctor.check_database(settings(tmp_path, database_url=url))

    assert check.state == "broken"
    assert words in check.detail
    assert check.mend == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [({"embedder": "nope"}, "no embedding model 'nope'"), ({"embedder": "remote:foo"}, "--embedder-base-url URL")],
)
def test_an_embedder_that_leads_nowhere_is_broken(tmp_path: Path, options: dict[str, object], words: str) -> None:
    check = doctor.check_embedder(settings(tmp_path, **options))

    assert check.state == "broken"
    assert words in check.detail


def test_a_model_that_leads_nowhere_is_broken(tmp_path: Path) -> None:
    check = doctor.check_model(settings(tmp_path, model="m"))

    assert check.state == "broken"
    assert "--model-base-url URL" in check.detail


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "contacts only this machine"),
        ({"model": "m", "model_base_url": URL}, "contacts only this machine"),
        ({"allow_hosts": ["127.0.0.1", "x.example"]}, "contacts only this machine and x.example"),
        (
            {"allow_hosts": ["x.example"], "model": "m", "model_base_url": "https://x.example/v1"},
            "contacts only this machine and x.example",
        ),
    ],
)
def test_each_host_that_is_contacted_is_named_once(tmp_path: Path, options: dict[str, object], told: str) -> None:
    assert doctor.check_extras(settings(tmp_path, **options))[-1].detail == told


def test_what_is_optional_is_installed_from_the_checkout() -> None:
    command = doctor.install_command("postgres")

    assert command.startswith(f"cd {Path(__file__).parents[3]} && ")
    assert command.endswith("-m pip install '.[postgres]'")


def test_an_address_of_another_machine_is_mended_by_the_host_and_not_by_the_port(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert doctor.check_port(settings(tmp_path, host="192.0.2.1", port=0)).mend.startswith("localassist serve --host")
    assert run(["serve", "--home", str(tmp_path / "home"), "--host", "192.0.2.1", "--port", "0"]) == 1

    told = capfd.readouterr().err
    assert "192.0.2.1 is not an address of this machine. Choose another with --host" in told
    assert "--port" not in told
