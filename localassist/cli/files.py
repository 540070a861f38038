"""`localassist files`: what is indexed, and how to forget it."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from localassist.cli.escapes import plain
from localassist.cli.exits import DONE
from localassist.cli.library import Held, Library
from localassist.cli.options import HOME, json_option, load_settings, settings_options
from localassist.cli.paths import shown, written
from localassist.cli.session import opened
from localassist.cli.terminal import count, err, out, print_json
from localassist.errors import ConfigurationError

HELP = """List what `add`, `ask`, `search` and `chat` have indexed, or forget it.

A NAME is that of a store, or a file or folder on disk; without one, everything is listed. What is forgotten is deleted
from the home folder, never from its own place; a file is forgotten in every store that holds it.

\b
Examples:
  localassist files
  localassist files --forget recipes
  localassist files --forget ~/Documents/old ~/Downloads/report.pdf
  localassist files --forget-all
"""


@click.command(help=HELP)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--forget", is_flag=True, help="Delete the stores, files and folders of these names, and their index.")
@click.option("--forget-all", is_flag=True, help="Delete every store that the command line has made.")
@click.option("--yes", is_flag=True, help="Do not ask before everything is forgotten.")
@settings_options(*HOME)
@json_option
def files(names: tuple[str, ...], *, forget: bool, forget_all: bool, yes: bool, as_json: bool, **given: Any) -> int:
    """List or delete stores and files; see `HELP`.

    Raises:
        UsageError: it is not clear what to forget, or nobody can be asked.
    """
    if forget and not names:
        raise click.UsageError("Forget what? Name stores, files or folders, or say --forget-all.")
    if forget_all and (names or forget):
        raise click.UsageError("--forget-all takes no names.")
    with opened(load_settings(given), quiet=as_json) as client:
        library = Library(client)
        stores = library.stores()
        held = {store_id: library.held(store_id) for store_id in stores}
        if forget_all:
            _confirm(stores, held, yes=yes)
            chosen = held
        else:
            chosen = _chosen(names, stores, held) if names else held
        if forget or forget_all:
            _forget(library, chosen, held)
            return DONE
    listed = [(stores[store_id], found) for store_id, found in chosen.items()]
    if as_json:
        print_json({"stores": [{"name": name, "files": [asdict(h) for h in found]} for name, found in listed]})
    else:
        _print(listed)
    return DONE


def _confirm(stores: dict[str, str], held: dict[str, list[Held]], *, yes: bool) -> None:
    if yes or not stores:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("--forget-all asks first, and nobody can answer here: add --yes.")
    n_files = sum(len(found) for found in held.values())
    click.confirm(f"Forget {count(len(stores), 'store')} with {count(n_files, 'file')}?", abort=True, err=True)


def _chosen(names: Sequence[str], stores: dict[str, str], held: dict[str, list[Held]]) -> dict[str, list[Held]]:
    """Give, by store, the files that are meant: those of a store of the name, and those at the path or below it.

    Raises:
        ConfigurationError: a name is neither that of a store nor of a file that is held.
    """
    chosen: dict[str, dict[str, Held]] = {}
    for name in names:
        meant = [store_id for store_id, known in stores.items() if known == written(name)]
        for store_id in meant:
            chosen[store_id] = {file.file_id: file for file in held[store_id]}
        place = Path(written(Path(name).expanduser().absolute()))
        is_found = bool(meant)
        for store_id, found in held.items() if not meant or "/" in name else ():
            below = {file.file_id: file for file in found if Path(file.path).is_relative_to(place)}
            if below:
                chosen.setdefault(store_id, {}).update(below)
                is_found = True
        if not is_found:
            known_names = ", ".join(plain(known) for known in stores.values()) or "none"
            raise ConfigurationError(
                f"Nothing that is indexed has the name {plain(name)!r}: no file or folder, and no store. "
                f"Stores: {known_names}."
            )
    return {store_id: list(found.values()) for store_id, found in chosen.items()}


def _forget(library: Library, chosen: dict[str, list[Held]], held: dict[str, list[Held]]) -> None:
    """Delete the chosen files, and each store that is left without one."""
    n_stores = 0
    for store_id, found in chosen.items():
        if len(found) == len(held[store_id]):
            library.forget(store_id)
            n_stores += 1
        else:
            for file in found:
                library.remove(file.file_id)
    n_files = sum(len(found) for found in chosen.values())
    stores = f"{count(n_stores, 'store')} with " if n_stores else ""
    err().print(f"Forgot {stores}{count(n_files, 'file')}.")


def _print(listed: Sequence[tuple[str, list[Held]]]) -> None:
    console = out()
    if not listed:
        err().print("Nothing is indexed yet. Add files with: localassist add PATH…")
    for name, found in listed:
        console.print(Text(plain(name), style="bold"), soft_wrap=True)
        if console.is_terminal:
            console.print(_table(found))
            _print_reasons(console, found)
        else:
            _print_lines(found)
        console.print()


def _table(found: Sequence[Held]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("file", overflow="fold")
    for column in ("pages", "tokens", "passages"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for file in found:
        status = Text(file.status, style="good" if file.status == "completed" else "bad")
        table.add_row(Text(shown(file.path)), *_numbers(file), status)
    return table


def _print_reasons(console: Console, found: Sequence[Held]) -> None:
    for file in found:
        if file.error:
            console.print(Padding(Text(f"{shown(file.path)}: {plain(file.error)}", style="bad"), (0, 0, 0, 2)))


def _print_lines(found: Sequence[Held]) -> None:
    """Write for programs that read lines: fields with tabs between them, and below a file why it failed."""
    for file in found:
        click.echo("\t".join([shown(file.path), *_numbers(file), file.status]))
        if file.error:
            click.echo(f"  {plain(file.error)}")


def _numbers(file: Held) -> list[str]:
    return [f"{n:,}" if n else "" for n in (file.n_pages, file.n_tokens, file.n_chunks)]
