"""`localassist add`: files and folders into a store of the home, to be asked and searched later."""

import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from localassist.cli.exits import DONE, SOME_FILES_FAILED
from localassist.cli.library import DEFAULT_STORE, Library
from localassist.cli.options import EMBEDDER, HOME, json_option, load_settings, settings_options
from localassist.cli.progress import ProgressBar, print_report
from localassist.cli.session import opened
from localassist.cli.sources import bring_in
from localassist.cli.terminal import err, print_json
from localassist.retrieval.parsers.kinds import SUPPORTED_EXTENSIONS

_ENDINGS = textwrap.fill(" ".join(sorted(SUPPORTED_EXTENSIONS)), width=76, initial_indent="  ", subsequent_indent="  ")

HELP = f"""Index files and folders, to ask and search them later.

A file that has not changed is not indexed again, and neither is the same content under another name. A file that has
changed replaces its older self, and what is no longer in a folder is forgotten when the folder is added again. Ctrl-C
keeps what is done; the same command goes on. `localassist files` shows what is there.

\b
Read are files that end in:
{_ENDINGS}
Of a folder, skipped are: other endings, names that begin with a dot or ~$,
node_modules, __pycache__, venv, site-packages, and links to folders. A file
that is named is read whatever its name begins with.

\b
Examples:
  localassist add ~/Documents/contracts
  localassist add --store recipes ~/recipes
"""


@click.command(help=HELP)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option(
    "--store", metavar="NAME", default=DEFAULT_STORE, show_default=True, help="Add to the store of this name."
)
@settings_options(*HOME, *EMBEDDER)
@json_option
def add(paths: tuple[Path, ...], *, store: str, as_json: bool, **given: Any) -> int:
    """Index what is new, and say what became of it; see `HELP`."""
    bar = ProgressBar(err(), quiet=as_json)
    with opened(load_settings(given), on_progress=bar.on_progress, quiet=as_json) as client:
        indexed = bring_in(Library(client), bar, store, paths, quiet=True)
    report = indexed.report
    if as_json:
        print_json(
            {
                "store": store,
                "vector_store_id": indexed.store_id or None,
                "indexed": [asdict(held) for held in report.added],
                "failed": [asdict(held) for held in report.failed],
                "unchanged": report.n_kept,
                "duplicates": report.n_duplicates,
                "removed": report.n_removed,
                "skipped": dict(report.skipped),
            }
        )
    else:
        print_report(err(), report, indexed.elapsed_s, always=True)
    return SOME_FILES_FAILED if report.failed else DONE
