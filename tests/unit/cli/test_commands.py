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
        (["tests"], "Which question\\? 'tests' is a folder"),
        (["tests", "localassist"], "'localassist' is a folder"),
        ([__file__, "  "], "Which question"),
    ],
)
def test_a_question_that_is_none_is_wrong_use(arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        split(arguments, "question")


def test_a_word_may_be_searched_for_though_a_folder_has_its_name() -> None:
    assert split(["tests"], "query") == ([], "tests")


def test_an_option_before_its_command_is_told_where_it_belongs(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "ask", "What?"]) == 2
    assert run(["--wings", "ask", "What?"]) == 2

    err = capfd.readouterr().err
    assert "--json belongs behind the command: localassist ask --json …" in err
    assert "--wings belongs" not in err


def test_everything_is_forgotten_only_by_one_who_says_yes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "home")
    (tmp_path / "a.md").write_text("The keeper trims the wick.", encoding="utf-8")
    assert run(["add", "--home", home, str(tmp_path / "a.md")]) == 0

    assert run(["files", "--home", home, "--forget-all"]) == 2
    assert run(["files", "--home", home]) == 0
    kept, err = capfd.readouterr()
    assert run(["files", "--home", home, "--forget-all", "--yes"]) == 0

    assert "add --yes" in err
    assert "a.md\t" in kept
    assert "Forgot 1 store with 1 file." in capfd.readouterr().err


def test_what_to_forget_must_be_said_and_be_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = str(tmp_path / "home")

    assert run(["files", "--home", home, "--forget"]) == 2
    assert run(["files", "--home", home, "--forget", "recipes"]) == 1

    err = capfd.readouterr().err
    assert "Forget what?" in err
    assert "Nothing that is indexed has the name 'recipes'" in err


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
