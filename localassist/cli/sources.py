"""What `ask`, `search`, `chat` and `add` share: arguments to paths, paths to an indexed store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from localassist.cli.library import DEFAULT_STORE, Library, SyncReport
from localassist.cli.paths import find_files, identify
from localassist.cli.progress import ProgressBar, print_report
from localassist.cli.terminal import count, err
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
    if not question.strip() or place.is_file() or ("/" in question and place.exists()):
        raise click.UsageError(f"Which {what}? It stands last, behind the paths.")
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
        if store_id is None:
            other = f" --store {name}" if store else ""
            raise ConfigurationError(
                f"Nothing is indexed yet{' under the name ' + repr(name) if store else ''}. Name the files, as in "
                f'`localassist ask ~/Documents "…"`, or add them once: `localassist add{other} ~/Documents`.'
            )
        report = SyncReport(store_id, paths={held.file_id: held.path for held in library.held(store_id)})
        return Indexed(store_id, report, bar.elapsed_s)
    store_id = library.named(store, create=True) if store else library.for_paths(paths)
    return bring_in(library, bar, store_id or "", paths, only_these=store is None, quiet=quiet)


def bring_in(
    library: Library, bar: ProgressBar, store_id: str, paths: Sequence[Path], *, only_these: bool, quiet: bool
) -> Indexed:
    """Make a store hold the files of these paths.

    Raises:
        ConfigurationError: there is no file that could be indexed.
    """
    found = find_files(paths)
    if not found.files:
        passed = f"; {count(found.n_passed_over, 'file')} of other kinds" if found.n_passed_over else ""
        raise ConfigurationError(f"No file that can be indexed was found{passed}.")
    with bar:
        report = library.sync(store_id, [identify(file) for file in found.files], bar, only_these=only_these)
    indexed = Indexed(store_id, report, bar.elapsed_s)
    if not quiet:
        print_report(err(), report, indexed.elapsed_s)
    return indexed
