"""Paths of a command line to files."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.cli.paths import find_files, identify, shown


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def test_a_folder_gives_its_documents_and_counts_what_no_parser_reads(tmp_path: Path) -> None:
    write(tmp_path, "b.md", "a.PDF", "deep/er/c.txt", "photo.jpeg", "no-ending")

    found = find_files([tmp_path])

    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a.PDF", "b.md", "deep/er/c.txt"]
    assert found.n_passed_over == 2


def test_hidden_files_lock_files_and_folders_of_programs_are_not_documents(tmp_path: Path) -> None:
    write(tmp_path, ".hidden.md", ".git/a.md", "node_modules/b.md", "~$open.docx", "__pycache__/c.py", "seen.md")

    found = find_files([tmp_path])

    assert [path.name for path in found.files] == ["seen.md"]
    assert found.n_passed_over == 0


def test_a_file_that_is_named_is_taken_whatever_it_is_and_only_once(tmp_path: Path) -> None:
    write(tmp_path, "photo.jpeg", ".notes.md", "a.md")

    found = find_files([tmp_path / ".notes.md", tmp_path / "photo.jpeg", tmp_path, tmp_path / "a.md"])

    assert [path.name for path in found.files] == [".notes.md", "photo.jpeg", "a.md"]


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
