"""The paths of a command line to the files that are meant."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localassist.retrieval.parsers.kinds import SUPPORTED_EXTENSIONS

_NOT_DOCUMENTS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to index: where it is, and the SHA-256 and the size of its content."""

    path: Path
    sha256: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """The files behind some paths, and how many in the folders were passed over because no parser reads them."""

    files: Sequence[Path]
    n_passed_over: int = 0


def find_files(paths: Sequence[Path]) -> Found:
    """Find the files behind paths, each once, in the order of the paths and then of names.

    A file that is named is always taken. Of a folder, every file with a supported ending below it is taken; names that
    begin with a dot, and folders such as `node_modules`, are passed over.
    """
    files: dict[Path, None] = {}
    n_passed_over = 0
    for path in paths:
        path = path.expanduser().absolute()
        if not path.is_dir():
            files[path] = None
            continue
        for file in _walk(path):
            if file.suffix.lower() in SUPPORTED_EXTENSIONS:
                files[file] = None
            else:
                n_passed_over += 1
    return Found(list(files), n_passed_over)


def identify(path: Path) -> LocalFile:
    """Read a file once, for the hash and the size of its content."""
    digest, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            n_bytes += len(block)
    return LocalFile(path, digest.hexdigest(), n_bytes)


def shown(path: str | Path) -> str:
    """Write a path as a person would: from the working directory or the home folder when it lies below."""
    path = Path(path)
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base) and path != base:
            return prefix + path.relative_to(base).as_posix()
    return str(path)


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_DOCUMENTS)
        for name in sorted(names):
            file = Path(root, name)
            if not name.startswith((".", "~$")) and file.is_file():
                yield file
