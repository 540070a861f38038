"""The command line's own rules: arguments, options, errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from localassist._version import __version__
from localassist.cli.exits import MEANINGS
from localassist.cli.main import COMMANDS, cli, run
from localassist.cli.options import load_settings
from localassist.cli.search import excerpt
from localassist.cli.sources import split
from localassist.config import Settings


def options_of(name: str) -> set[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def test_the_question_stands_last_behind_the_paths(tmp_path: Path) -> None:
    assert split(["What is it?"], "question") == ([], "What is it?")
    assert split([str(tmp_path), "What is it?"], "question") == ([tmp_path], "What is it?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere/a.pdf", "What?"], "There is no file or folder '/nowhere/a.pdf'"),
        (["What", "is", "it?"], "needs quotation marks"),
        (["What is it?", __file__], "The question stands last"),
        ([__file__], "Which question"),
        ([__file__, "  "], "Which question"),
    ],
)
def test_a_question_that_is_none_is_wrong_use(arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        split(arguments, "question")


def test_an_unknown_command_and_an_unknown_option_are_wrong_use(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["fly"]) == 2
    assert run(["ask", "--wings", "What?"]) == 2

    out, err = capfd.readouterr()
    assert out == ""
    assert "No such command 'fly'" in err
    assert "No such option" in err


def test_an_error_is_one_message_without_a_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("I am no folder", encoding="utf-8")

    assert run(["search", "--home", str(file / "home"), "anything"]) == 1

    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Error: The home ")
    assert len(err.splitlines()) == 1


def test_a_setting_that_cannot_be_used_names_itself(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--allow-host", "not a host"]) == 0  # nothing is contacted here
    assert run(["search", "--allow-host", "x", "anything"]) == 2  # search contacts no model

    assert "No such option" in capfd.readouterr().err


def test_the_version_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0

    assert capfd.readouterr().out == f"localassist {__version__}\n"


def test_python_m_localassist_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "localassist", "--help"], capture_output=True, text=True, check=True)

    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_what_each_option_is(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.name == name
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{name} {parameter.opts}"


def test_serve_has_the_options_that_programs_rely_on() -> None:
    promised = {"--home", "--host", "--port", "--model", "--model-base-url", "--api-key", "--database-url"}

    assert promised <= options_of("serve")


def test_every_option_of_serve_is_a_setting() -> None:
    assert {
        option.strip("-").replace("-", "_").replace("allow_host", "allow_hosts") for option in options_of("serve")
    } <= set(Settings.model_fields)


def test_options_that_were_not_given_leave_the_settings_alone(tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path, "model": None, "allow_hosts": ()})

    assert settings.home == tmp_path
    assert (settings.model, settings.allow_hosts) == (Settings().model, Settings().allow_hosts)


def test_several_hosts_may_be_allowed() -> None:
    assert load_settings({"allow_hosts": ("a.example", "b.example:443")}).allow_hosts == ["a.example", "b.example:443"]


def test_exit_codes_are_told_apart() -> None:
    assert set(MEANINGS) == {0, 1, 2, 3, 4, 130}


def test_an_excerpt_shows_the_part_that_fits_the_query() -> None:
    passage = "Nothing of note happens here. " * 40 + "The keeper trims the wick. " + "The sea is wide. " * 40

    shown = excerpt(passage, "keeper wick", 120)

    assert "The keeper trims the wick." in shown
    assert shown.startswith("… ")
    assert len(shown) <= 124


def test_a_short_passage_is_shown_whole() -> None:
    assert excerpt("The keeper\ntrims the wick.", "sea") == "The keeper trims the wick."
