"""`localassist files`: what is indexed, and how to forget it."""

from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from localassist.cli.exits import DONE
from localassist.cli.library import Held, Library
from localassist.cli.options import HOME, json_option, load_settings, settings_options
from localassist.cli.paths import shown
from localassist.cli.session import opened
from localassist.cli.terminal import count, err, out, print_json
from localassist.errors import ConfigurationError

HELP = """List what `add`, `ask`, `search` and `chat` have indexed, or forget it.

\b
Examples:
  localassist files
  localassist files --forget recipes
  localassist files --forget-all
"""


@click.command(help=HELP)
@click.option("--forget", metavar="STORE", help="Delete the store of this name with all of its files and their index.")
@click.option("--forget-all", is_flag=True, help="Delete every store that the command line has made.")
@settings_options(*HOME)
@json_option
def files(forget: str | None, *, forget_all: bool, as_json: bool, **given: Any) -> int:
    """List or delete stores; see `HELP`.

    Raises:
        ConfigurationError: there is no store of the name to forget.
    """
    with opened(load_settings(given)) as client:
        library = Library(client)
        stores = library.stores()
        if forget_all or forget is not None:
            chosen = [store_id for store_id, name in stores.items() if forget_all or name == forget]
            if forget is not None and not chosen:
                raise ConfigurationError(
                    f"There is no store {forget!r}; there are: {', '.join(stores.values()) or 'none'}."
                )
            n_files = sum(library.forget(store_id) for store_id in chosen)
            err().print(f"Forgot {count(len(chosen), 'store')} with {count(n_files, 'file')}.")
            return DONE
        held = {name: library.held(store_id) for store_id, name in stores.items()}
    if as_json:
        print_json({"stores": [{"name": name, "files": [asdict(h) for h in found]} for name, found in held.items()]})
    else:
        _print(held)
    return DONE


def _print(held: dict[str, list[Held]]) -> None:
    console = out()
    if not held:
        err().print("Nothing is indexed yet. Add files with: localassist add PATH…")
    for name, found in held.items():
        table = Table(
            title=Text(name, style="bold"), title_justify="left", box=None, pad_edge=False, header_style="dim"
        )
        table.add_column("file", overflow="fold")
        for column in ("pages", "tokens", "passages"):
            table.add_column(column, justify="right")
        table.add_column("status")
        for file in found:
            numbers = [f"{n:,}" if n else "" for n in (file.n_pages, file.n_tokens, file.n_chunks)]
            good = file.status == "completed"
            status = Text(file.status, style="good" if good else "bad")
            table.add_row(Text(shown(file.path)), *numbers, status if good else Text(file.error or file.status, "bad"))
        console.print(table)
        console.print()
