"""Paths of a command line to files."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.cli.paths import describe_skipped, find_files, identify, is_gone, shown, written


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def test_a_folder_gives_its_documents_and_counts_what_no_parser_reads(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a.PDF", "deep/er/c.txt", "photo.jpeg", "no-ending")

    found = find_files([tmp_path])

    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a.PDF", "b.md", "deep/er/c.txt"]
    assert found.skipped == {".jpeg": 1, "no ending": 1}
    assert describe_skipped(found.skipped) == "2 skipped (.jpeg, no ending)"


def test_hidden_files_lock_files_and_folders_of_programs_are_not_documents(tmp_path: Path) -> None:
    write(tmp_path, ".hidden.md", ".git/a.md", "node_modules/b.md", "~$open.docx", "__pycache__/c.py", "seen.md")

    found = find_files([tmp_path])

    assert [path.name for path in found.files] == ["seen.md"]
    assert found.skipped == {"hidden": 2, ".git/": 1, "node_modules/": 1, "__pycache__/": 1}


def test_many_kinds_of_skipped_files_are_told_in_one_short_line() -> None:
    skipped = {f".kind{n}": 1 for n in range(9)}

    assert describe_skipped(skipped).endswith(".kind5, 3 more kinds)")


def test_a_pipe_that_is_named_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")

    assert find_files([tmp_path / "pipe.txt"]).refused == {tmp_path / "pipe.txt": "not a regular file"}


def test_a_name_that_is_not_utf_8_is_written_with_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin\xe9.txt")
    (tmp_path / name).write_text("text", encoding="utf-8")

    [found] = find_files([tmp_path]).files

    assert written(found) == f"{tmp_path}/latin\\xe9.txt"
    assert shown(found) == f"{tmp_path}/latin\\xe9.txt"


def test_a_file_is_gone_only_if_it_lay_below_the_folder_and_is_no_longer_there(tmp_path: Path) -> None:
    write(tmp_path, "docs/here.md")

    assert is_gone(f"{tmp_path}/docs/gone.md", [tmp_path / "docs"])
    assert not is_gone(f"{tmp_path}/docs/here.md", [tmp_path / "docs"])
    assert not is_gone(f"{tmp_path}/other/gone.md", [tmp_path / "docs"])


def test_a_file_that_is_named_is_taken_or_refused_and_only_once(tmp_path: Path) -> None:
    write(tmp_path, "photo.jpeg", ".notes.md", "a.md")

    found = find_files([tmp_path / ".notes.md", tmp_path / "photo.jpeg", tmp_path, tmp_path / "a.md"])

    assert [path.name for path in found.files] == [".notes.md", "a.md"]
    assert [(path.name, reason[:20]) for path, reason in found.refused.items()] == [
        ("photo.jpeg", "not a supported type")
    ]
    assert found.skipped == {"hidden": 1}


@given(content=st.binary(max_size=200))
def test_a_file_is_identified_by_its_content(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("content") / "file.bin"
    path.write_bytes(content)

    file = identify(path)

    assert (file.sha256, file.n_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_path_is_shown_from_where_the_reader_stands() -> None:
    assert shown(Path.cwd() / "papers/a.pdf") == "papers/a.pdf"
    assert shown("/nowhere/a.pdf") == "/nowhere/a.pdf"
    assert shown("a.pdf") == "a.pdf"
