"""What the command line does with the files that people really have: odd names, gone files, files nobody can read."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import localassist
from localassist.cli.main import run
from tests.integration.test_cli import HARBOUR, LIGHTHOUSE, document

QUESTION = "How often does the keeper trim the wick?"


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "lighthouse.md").write_text(LIGHTHOUSE, encoding="utf-8")
    (folder / "harbour.txt").write_text(HARBOUR, encoding="utf-8")
    return folder


def stores(capfd: pytest.CaptureFixture[str], home: str) -> dict[str, list[str]]:
    listed: Any = document(capfd, "files", "--home", home)
    return {store["name"]: [Path(file["path"]).name for file in store["files"]] for store in listed["stores"]}


def test_a_name_that_is_not_utf_8_is_indexed_under_an_escaped_one(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (docs / os.fsdecode(b"latin\xe9.txt")).write_text("The ferry sails at noon.\n", encoding="utf-8")

    added = document(capfd, "add", "--home", home, str(docs))
    answer = document(capfd, "ask", "--home", home, str(docs), "When does the ferry sail?")

    assert sorted(Path(file["path"]).name for file in added["indexed"]) == [
        "harbour.txt",
        "latin\\xe9.txt",
        "lighthouse.md",
    ]
    assert answer["citations"][0]["path"] == f"{docs}/latin\\xe9.txt"
    assert document(capfd, "add", "--home", home, str(docs))["unchanged"] == 3


def test_what_a_terminal_would_obey_is_escaped_in_names_and_texts(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    filler = "The sea is calm today. " * 20  # a text with many control codes would be refused
    text = f"{filler}\n\nThe bell \x1b]0;owned rings at midnight.\n"
    (docs / "red\x1b[31m\n.md").write_text(text, encoding="utf-8")

    assert run(["ask", "--home", home, str(docs), "When does the bell ring?"]) == 0
    assert run(["search", "--home", home, str(docs), "--full", "bell midnight"]) == 0
    assert run(["files", "--home", home]) == 0

    out, err = capfd.readouterr()
    assert "red\\x1b[31m\\n.md" in out
    assert "midnight" in out
    assert not {"\x1b", "\x07"} & set(out + err)


def test_what_is_gone_from_a_folder_is_forgotten_when_it_is_added_again(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["add", "--home", home, str(docs)]) == 0
    (docs / "harbour.txt").unlink()
    capfd.readouterr()

    one = run(["add", "--home", home, str(docs / "lighthouse.md")])
    of_one = capfd.readouterr().err
    both = run(["add", "--home", home, str(docs)])
    of_folder = capfd.readouterr().err

    assert (one, both) == (0, 0)
    assert of_one == "1 unchanged\n"
    assert of_folder == "1 unchanged; 1 removed\n"
    assert stores(capfd, home) == {"default": ["lighthouse.md"]}


def test_one_file_that_cannot_be_indexed_does_not_stop_the_others(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = docs / "photo.png"
    photo.write_bytes(b"\x89PNG")
    (docs / ".notes.md").write_text("hidden", encoding="utf-8")
    (docs / "LICENSE").write_text("free", encoding="utf-8")

    added = run(["add", "--home", home, str(photo), str(docs)])
    said = capfd.readouterr().err
    asked = document(capfd, "ask", "--home", home, str(docs / "lighthouse.md"), str(photo), QUESTION, code=3)

    assert added == 3
    assert "2 files indexed" in said
    assert "2 skipped (hidden, no ending)" in said
    assert f"{photo}: not a supported type; see `localassist add --help`\n" in said
    assert "four hours" in asked["answer"]
    assert asked["files"]["failed"] == [
        {"path": str(photo), "error": "not a supported type; see `localassist add --help`"}
    ]


def test_of_files_that_cannot_be_used_no_store_is_kept(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken, empty, photo = docs / "broken.pdf", docs / "empty.md", docs / "photo.png"
    broken.write_bytes(b"%PDF-1.7\nnot really")
    empty.touch()
    photo.touch()

    codes = [
        run(["ask", "--home", home, str(photo), QUESTION]),
        run(["ask", "--home", home, str(broken), str(empty), QUESTION]),
        run(["add", "--home", home, str(broken), str(photo)]),
    ]

    err = capfd.readouterr().err
    assert codes == [1, 1, 3]
    assert err.count("None of these files could be indexed") == 2
    assert f"{empty}: The file 'empty.md' is empty (0 bytes). Choose a file with text in it." in err
    assert stores(capfd, home) == {}


def test_counts_are_about_what_was_asked_for(home: str, docs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nnot really")
    assert run(["add", "--home", home, str(docs)]) == 3
    (docs.parent / "new.md").write_text("The ferry sails at noon.", encoding="utf-8")

    new = document(capfd, "add", "--home", home, str(docs.parent / "new.md"))
    again = document(capfd, "add", "--home", home, str(docs), code=3)

    assert (len(new["indexed"]), new["unchanged"], new["removed"]) == (1, 0, 0)
    assert (again["indexed"], again["unchanged"], again["removed"], len(again["failed"])) == ([], 2, 0, 1)


def test_a_question_without_paths_says_that_the_default_store_is_empty(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["ask", "--home", home, str(docs), QUESTION]) == 0
    assert run(["ask", "--home", home, QUESTION]) == 1

    assert "Nothing is indexed yet in the store 'default'." in capfd.readouterr().err
    assert list(stores(capfd, home)) == [str(docs)]


def test_files_in_a_pipe_are_lines_without_padding_and_errors_have_their_own(
    home: str, docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\nnot really")
    assert run(["add", "--home", home, str(docs)]) == 3
    capfd.readouterr()

    assert run(["files", "--home", home]) == 0

    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "default"
    assert [line.split("\t")[0] for line in lines if "\t" in line] == [
        str(docs / name) for name in ("broken.pdf", "harbour.txt", "lighthouse.md")
    ]
    assert lines[1].endswith("\tfailed")
    assert lines[2].startswith("  The PDF 'broken.pdf' is truncated")
    assert "  \n" not in "\n".join(lines)


@pytest.mark.parametrize("n_bytes", [0, 1])
def test_a_reader_who_has_gone_ends_the_question_quietly_and_leaves_nothing_of_it(
    home: str, docs: Path, n_bytes: int
) -> None:
    assert run(["add", "--home", home, str(docs)]) == 0
    command = [sys.executable, "-m", "localassist", "ask", "--home", home, QUESTION]
    read, write = os.pipe()
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True) as asking:
        os.close(write)
        os.read(read, n_bytes)
        os.close(read)
        _, err = asking.communicate(timeout=60)

    assert err == ""
    with localassist.OpenAI(home=home) as client:
        assert list(client.beta.assistants.list()) == []
