"""The paths of a command line to the files that are meant."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localassist.cli.escapes import plain
from localassist.retrieval.parsers.kinds import SUPPORTED_EXTENSIONS

_NOT_DOCUMENTS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
_BLOCK_BYTES = 1 << 20
_MAX_KINDS = 6
UNSUPPORTED = "not a supported type; see `localassist add --help`"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to index: where it is, and the SHA-256 and the size of its content."""

    path: Path
    sha256: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """The files behind some paths: those to index, those that were named but cannot be, those that were skipped."""

    files: Sequence[Path]
    refused: Mapping[Path, str] = field(default_factory=dict)
    """Why a file that was named cannot be indexed."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many files of the folders were skipped, by their ending or by what they are."""


def find_files(paths: Sequence[Path]) -> Found:
    """Find the files behind paths, each once, in the order of the paths and then of names.

    A file that is named is taken or refused, hidden or not. Of a folder, every file with a supported ending below it is
    taken; names that begin with a dot, folders such as `node_modules`, and links to folders are skipped.
    """
    files: dict[Path, None] = {}
    refused: dict[Path, str] = {}
    skipped: Counter[str] = Counter()
    for path in paths:
        path = path.expanduser().absolute()
        if not path.is_dir():
            if path.suffix.lower() not in SUPPORTED_EXTENSIONS:
                refused[path] = UNSUPPORTED
            elif path.exists() and not path.is_file():
                refused[path] = "not a regular file"
            else:
                files[path] = None
            continue
        for file in _walk(path, skipped):
            if file.suffix.lower() in SUPPORTED_EXTENSIONS:
                files[file] = None
            elif file not in refused:
                skipped[file.suffix.lower() or "no ending"] += 1
    return Found(list(files), refused, skipped)


def describe_skipped(skipped: Mapping[str, int]) -> str:
    """Write how many files and folders were skipped, and of which kinds: `2 skipped (.png, no ending)`."""
    kinds = [plain(kind) for kind in sorted(skipped)]
    more = f", {len(kinds) - _MAX_KINDS} more kinds" if len(kinds) > _MAX_KINDS else ""
    return f"{sum(skipped.values()):,} skipped ({', '.join(kinds[:_MAX_KINDS])}{more})"


def written(path: str | Path) -> str:
    """Write a path as text; bytes of its name that are not UTF-8 become escapes, as Python writes them."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_gone(path: str, folders: Sequence[Path]) -> bool:
    """Tell whether a file that lay below one of these folders is no longer there."""
    place = Path(path)
    if not any(place.is_relative_to(folder) for folder in folders):
        return False
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass  # it may be there: who cannot look does not forget
    return False


def identify(path: Path) -> LocalFile:
    """Read a file once, for the hash and the size of its content."""
    digest, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            n_bytes += len(block)
    return LocalFile(path, digest.hexdigest(), n_bytes)


def shown(path: str | Path) -> str:
    """Write a path as a person would: from the working directory or the home folder when it lies below.

    What a terminal would obey is escaped.
    """
    path = Path(path)
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base) and path != base:
            return plain(prefix + written(path.relative_to(base).as_posix()))
    return plain(written(path))


def _walk(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        for name in list(folders):
            if name.startswith(".") or name in _NOT_DOCUMENTS:
                folders.remove(name)
                skipped[f"{written(name)}/"] += 1
            elif Path(root, name).is_symlink():
                skipped["links to folders"] += 1
        folders.sort()
        for name in sorted(names):
            file = Path(root, name)
            if name.startswith((".", "~$")):
                skipped["hidden"] += 1
            elif file.is_file():
                yield file
            else:
                skipped["no regular files"] += 1
