"""`localassist search`: the passages that answer a query."""

import re
from typing import Any, Final

import click
from rich.padding import Padding
from rich.text import Text

from localassist.cli.answers import clipped
from localassist.cli.escapes import plain
from localassist.cli.exits import DONE, NOTHING_FOUND, SOME_FILES_FAILED
from localassist.cli.options import EMBEDDER, HOME, json_option, load_settings, settings_options
from localassist.cli.paths import shown
from localassist.cli.progress import ProgressBar
from localassist.cli.session import opened
from localassist.cli.sources import index, split
from localassist.cli.terminal import err, out, print_json
from localassist.retrieval.analyze import terms

HELP = """Show the passages that answer a query, best first, each with its score, file and page.

Without a PATH, what `add` has indexed is searched; with one, these files only. No language model takes part.

\b
Examples:
  localassist search "notice period"
  localassist search --limit 3 --full handbook.pdf "fire watch after hot work"
"""

_EXCERPT: Final = 320
_STEP: Final = 40


@click.command(help=HELP)
@click.argument("arguments", nargs=-1, required=True, metavar="[PATH]... QUERY")
@click.option("--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="How many passages.")
@click.option("--full", is_flag=True, help="Show whole passages, not the part that fits the query best.")
@click.option("--store", metavar="NAME", help="Search (and fill) the store of this name.")
@settings_options(*HOME, *EMBEDDER)
@json_option
def search(
    arguments: tuple[str, ...],
    *,
    limit: int,
    full: bool,
    store: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Index what is new, search, and show the passages; see `HELP`."""
    paths, query = split(arguments, "query")
    bar = ProgressBar(err(), quiet=as_json)
    with opened(load_settings(given), on_progress=bar.on_progress, quiet=as_json) as client:
        indexed = index(client, bar, paths, store=store, quiet=as_json)
        page = client.vector_stores.search(indexed.store_id, query=query, max_num_results=limit)
        results = [_result(n, item.model_dump(), indexed.report.paths) for n, item in enumerate(page.data, start=1)]
    if as_json:
        print_json({"query": query, "results": results})
    else:
        _print(results, query, full=full)
    if indexed.report.failed:
        return SOME_FILES_FAILED
    return DONE if results else NOTHING_FOUND


def excerpt(passage: str, query: str, limit: int = _EXCERPT) -> str:
    """Give the part of a passage, `limit` characters long at most, that shares most terms with the query."""
    if len(passage) <= limit:
        return clipped(passage, limit)
    wanted = set(terms(query))
    starts = range(0, len(passage) - limit + _STEP, _STEP)
    shared = [len(wanted & set(terms(passage[start : start + limit]))) for start in starts]
    equals = [start for start, n_shared in zip(starts, shared, strict=True) if n_shared == max(shared)]
    best = equals[len(equals) // 2] if max(shared) else 0  # in the middle the words have some text around them
    if best:  # begin at a sentence or a word, where one is near
        border = re.search(r"[.!?。！？\n]\s*|\s", passage[best - _STEP : best + _STEP])
        best = best - _STEP + border.end() if border else best
    rest = passage[best:]
    return ("… " if best else "") + clipped(rest, limit)


def _result(number: int, item: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    return {
        "number": number,
        "score": item["score"],
        "file": item["filename"],
        "path": paths.get(item["file_id"]),
        "page": item.get("page"),
        "file_id": item["file_id"],
        "start_index": item.get("start_index"),
        "end_index": item.get("end_index"),
        "text": "".join(part["text"] for part in item["content"]),
    }


def _print(results: list[dict[str, Any]], query: str, *, full: bool) -> None:
    console = out()
    if not results:
        err().print("No passage was found.")
    for result in results:
        head = Text.assemble(
            (f"{result['number']:>2}", "mark"),
            "  ",
            (f"{result['score']:.2f}", "score"),
            "  ",
            (shown(result["path"] or result["file"]), "file"),
        )
        if result["page"] is not None:
            head.append(f", page {result['page']}", "page")
        console.print(head)
        text = plain(result["text"].strip(), keep="\n\t") if full else excerpt(result["text"], query)
        console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))
        console.print()
