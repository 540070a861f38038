"""What `ask`, `search`, `chat` and `add` share: arguments to paths, paths to an indexed store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localassist.cli.escapes import plain
from localassist.cli.library import DEFAULT_STORE, Held, Library, SyncReport
from localassist.cli.paths import Found, LocalFile, describe_skipped, find_files, identify, shown, written
from localassist.cli.progress import ProgressBar, print_report
from localassist.cli.terminal import err, waiting
from localassist.errors import ConfigurationError

if TYPE_CHECKING:
    from localassist.local import OpenAI


@dataclass(frozen=True, slots=True)
class Indexed:
    """A store that is ready to be asked, and what had to be done for it."""

    store_id: str
    report: SyncReport
    elapsed_s: float


def split(arguments: Sequence[str], what: str) -> tuple[list[Path], str]:
    """Split `PATH… QUESTION` into the paths and the question.

    Raises:
        UsageError: a path is not there, or there is no question.
    """
    *paths, question = arguments
    missing = [path for path in paths if not Path(path).expanduser().exists()]
    if missing and Path(question).expanduser().exists():
        raise click.UsageError(f"The {what} stands last, behind the paths: … {question} {missing[-1]!r}")
    if missing:
        raise click.UsageError(
            f"There is no file or folder {missing[0]!r}. A {what} of several words needs quotation marks."
        )
    place = Path(question).expanduser()
    if not question.strip():
        raise click.UsageError(f"Which {what}? It stands last, behind the paths.")
    is_word = what == "query" and "/" not in question  # a folder's name may be what is searched for
    if place.is_file() or (place.is_dir() and not is_word):
        kind = "folder" if place.is_dir() else "file"
        raise click.UsageError(
            f'Which {what}? {plain(question)!r} is a {kind}: … {plain(question)} "THE {what.upper()}"'
        )
    return [Path(path) for path in paths], question


def index(client: "OpenAI", bar: ProgressBar, paths: Sequence[Path], *, store: str | None, quiet: bool) -> Indexed:
    """Give the store that holds the files of these paths, brought up to date; without paths, the named store.

    Raises:
        ConfigurationError: no path was given, and nothing was added before.
    """
    library = Library(client)
    if not paths:
        name = store or DEFAULT_STORE
        store_id = library.named(name)
        held = library.held(store_id) if store_id else []
        if store_id is None or all(file.status == "failed" for file in held):
            other = f" --store {name}" if store else ""
            raise ConfigurationError(
                f"Nothing is indexed yet in the store {name!r}. Name the files, as in "
                f'`localassist ask ~/Documents "…"`, or add them once: `localassist add{other} ~/Documents`.'
                + (" What was asked with paths is asked with the same paths." if library.stores() else "")
            )
        return Indexed(store_id, SyncReport(store_id, paths={file.file_id: file.path for file in held}), bar.elapsed_s)
    indexed = bring_in(library, bar, store, paths, quiet=quiet)
    if not indexed.store_id:
        reasons = "".join(f" {shown(file.path)}: {file.error}." for file in indexed.report.failed) if quiet else ""
        raise ConfigurationError(f"None of these files could be indexed, so there is nothing to ask.{reasons}")
    return indexed


def bring_in(library: Library, bar: ProgressBar, store: str | None, paths: Sequence[Path], *, quiet: bool) -> Indexed:
    """Make the store of this name, or else the one of these paths alone, hold the files of the paths.

    What is gone from the folders among the paths goes. A store that would be left without a file is not kept; then the
    store's id is empty.

    Raises:
        ConfigurationError: there is no file that could be indexed.
    """
    found = find_files(paths)
    with waiting("reading the files …", quiet=quiet):
        files, failed = _identify(found)
    store_id = _store(library, store, paths, create=bool(files))
    report = SyncReport("")
    if store_id is not None:
        folders = [path.expanduser().absolute() for path in paths if path.is_dir()]
        try:
            with bar:
                report = library.sync(store_id, files, bar, only_these=store is None, folders=folders)
        finally:
            is_empty = library.drop_if_empty(store_id)
        store_id = None if is_empty else store_id
    report.failed[:0] = failed
    report.skipped = found.skipped
    if not files and not report.failed and not report.n_removed:
        skipped = f"; {describe_skipped(found.skipped)}" if found.skipped else ""
        raise ConfigurationError(f"No file that can be indexed was found{skipped}.")
    indexed = Indexed(store_id or "", report, bar.elapsed_s)
    if not quiet:
        print_report(err(), report, indexed.elapsed_s)
    return indexed


def _store(library: Library, name: str | None, paths: Sequence[Path], *, create: bool) -> str | None:
    if name is not None:
        return library.named(name, create=create)
    return library.for_paths(paths) if create else library.known_for_paths(paths)


def _identify(found: Found) -> tuple[list[LocalFile], list[Held]]:
    """Read the files for their hashes; give those that can be read, and those that were refused or cannot."""
    files = []
    failed = [Held("", written(path), "", "failed", reason) for path, reason in found.refused.items()]
    for path in found.files:
        try:
            files.append(identify(path))
        except OSError as error:
            failed.append(Held("", written(path), "", "failed", error.strerror or str(error)))
    return files, failed
