"""`localassist ask`: a question about files, answered with citations."""

from contextlib import closing
from typing import Any

import click
from rich.text import Text

from localassist.cli.answers import Answer, Reader, Said, Searched, print_citations
from localassist.cli.answers import ask as ask_once
from localassist.cli.escapes import plain
from localassist.cli.exits import DONE, NOTHING_FOUND, SOME_FILES_FAILED
from localassist.cli.flow import Flow
from localassist.cli.hints import check_model_server, hint_model
from localassist.cli.options import EMBEDDER, HOME, MODEL, json_option, load_settings, settings_options
from localassist.cli.progress import ProgressBar
from localassist.cli.session import opened
from localassist.cli.sources import Indexed, index, split
from localassist.cli.terminal import count, err, out, print_json

HELP = """Answer a question from files, with citations.

PATH is a file or a folder. What is new in it is indexed, and kept in the home folder so that the next question is
answered at once; the answer comes from these files only. Without a PATH, what `add` has indexed is asked. Each citation
names the file, the page and the quoted sentence.

\b
Examples:
  localassist ask contract.pdf "When does the contract end?"
  localassist ask ~/Documents notes.md "Who is responsible for the audit?"
  localassist ask --model ollama/llama3.2 ~/Documents "Summarise the travel rules."
"""


@click.command(help=HELP)
@click.argument("arguments", nargs=-1, required=True, metavar="[PATH]... QUESTION")
@click.option("--store", metavar="NAME", help="Ask (and fill) the store of this name, as `add --store NAME` does.")
@settings_options(*HOME, *MODEL, *EMBEDDER)
@click.option("--no-hint", is_flag=True, hidden=True)
@json_option
def ask(arguments: tuple[str, ...], *, store: str | None, no_hint: bool, as_json: bool, **given: Any) -> int:
    """Index what is new, ask, and show the answer; see `HELP`."""
    paths, question = split(arguments, "question")
    settings = load_settings(given)
    check_model_server(settings)
    bar = ProgressBar(err(), quiet=as_json)
    with opened(settings, on_progress=bar.on_progress, quiet=as_json) as client:
        indexed = index(client, bar, paths, store=store, quiet=as_json)
        reader = Reader(indexed.report.paths)
        pieces = ask_once(client, model=settings.model, store_id=indexed.store_id, question=question, reader=reader)
        console = out()
        flow = Flow(console)
        with closing(pieces):  # a reader who has gone ends the question too, and nothing of it is left
            for piece in pieces:
                if as_json:
                    continue
                match piece:
                    case Said():
                        flow.write(piece.text, "mark" if piece.is_mark else "")
                    case Searched() if console.is_terminal:
                        show_search(piece)
    if as_json:
        print_json(_document(reader.answer, indexed))
    else:
        flow.end()
        if reader.answer.citations:
            console.print()
            print_citations(console, reader.answer.citations)
        if reader.answer.is_found and not no_hint:
            hint_model(settings, after_answer=True)
    return _exit_code(reader.answer, indexed)


def show_search(search: Searched) -> None:
    """Say what was looked for, and where it was found."""
    queries = " · ".join(f"“{plain(query)}”" for query in search.queries)
    files = ", ".join(plain(file) for file in search.files[:3]) + (" …" if len(search.files) > 3 else "")
    found = f"{count(search.n_passages, 'passage')} in {files}" if search.n_passages else "nothing found"
    err().print(Text(f"Searched {queries}: {found}\n", style="faint"))


def _document(answer: Answer, indexed: Indexed) -> dict[str, Any]:
    report = indexed.report
    return {
        **answer.document(),
        "files": {
            "indexed": [held.path for held in report.added],
            "failed": [{"path": held.path, "error": held.error} for held in report.failed],
            "unchanged": report.n_kept,
            "duplicates": report.n_duplicates,
        },
    }


def _exit_code(answer: Answer, indexed: Indexed) -> int:
    if indexed.report.failed:
        return SOME_FILES_FAILED
    return DONE if answer.is_found else NOTHING_FOUND
