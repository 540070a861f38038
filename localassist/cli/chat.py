"""`localassist chat`: a conversation about files, its answers streamed and cited."""

import readline  # noqa: F401 - being loaded, it gives `input` line editing and a history
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from localassist.cli.answers import INSTRUCTIONS, Reader, RunFailedError, Said, Searched, print_citations
from localassist.cli.ask import show_search
from localassist.cli.escapes import plain
from localassist.cli.exits import DONE
from localassist.cli.flow import Flow
from localassist.cli.hints import check_model_server, hint_model
from localassist.cli.library import Library
from localassist.cli.options import EMBEDDER, HOME, MODEL, load_settings, settings_options
from localassist.cli.progress import ProgressBar
from localassist.cli.session import opened
from localassist.cli.sources import index
from localassist.cli.terminal import count, err, out, without_echo

if TYPE_CHECKING:
    from localassist.local import OpenAI

HELP = """Talk about files; answers stream as they are written, with citations.

The files are those of the PATHs, or what `add` has indexed. The conversation is kept: --thread goes on with it later.
An empty line is passed over; /help says what can be typed; Ctrl-C stops an answer; Ctrl-D, or /exit, ends the
conversation.

\b
Examples:
  localassist chat --model ollama/llama3.2 ~/Documents
  localassist chat --thread thread_abc123
"""


TYPED = """\
Type a question; the files are searched, and the answer cites them.
/help   this text
/exit   end the conversation, as Ctrl-D and /quit do
Ctrl-C  stop an answer
"""


class Conversation:
    """One thread and the assistant that answers in it."""

    def __init__(self, client: "OpenAI", *, model: str, thread_id: str) -> None:
        self._client = client
        self._assistant_id = client.beta.assistants.create(
            model=model, name="localassist chat", instructions=INSTRUCTIONS, tools=[{"type": "file_search"}]
        ).id
        self.thread_id = thread_id

    def say(self, text: str, reader: Reader) -> Generator[Said | Searched, None, None]:
        """Put the user's message into the thread and follow the answer; leaving early cancels the run.

        Raises:
            RunFailedError: the run did not complete.
        """
        self._client.beta.threads.messages.create(self.thread_id, role="user", content=text)
        run_id: str | None = None
        is_over = False
        try:
            with self._client.beta.threads.runs.create(
                self.thread_id, assistant_id=self._assistant_id, stream=True
            ) as events:
                for event in events:
                    run_id = event.data.id if event.event == "thread.run.created" else run_id
                    yield from reader.read([event])
            is_over = True
        except RunFailedError:
            is_over = True
            raise
        finally:
            if run_id is not None and not is_over:
                self._client.beta.threads.runs.cancel(run_id, thread_id=self.thread_id)

    def close(self) -> None:
        """Delete the assistant; the thread stays."""
        self._client.beta.assistants.delete(self._assistant_id)


@click.command(help=HELP)
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.option("--store", metavar="NAME", help="Talk about (and fill) the store of this name.")
@click.option("--thread", metavar="ID", help="Go on with this conversation.")
@settings_options(*HOME, *MODEL, *EMBEDDER)
def chat(paths: tuple[Path, ...], store: str | None, thread: str | None, **given: Any) -> int:
    """Index what is new, and answer line by line; see `HELP`."""
    settings = load_settings(given)
    check_model_server(settings)
    bar = ProgressBar(err())
    with opened(settings, on_progress=bar.on_progress) as client:
        known = _thread(client, bar, paths, store=store, thread=thread)
        thread_id, file_paths = known
        conversation = Conversation(client, model=settings.model, thread_id=thread_id)
        try:
            hint_model(settings)
            files = count(len(file_paths), "file")
            err().print(Text(f"{files} · model {plain(settings.model)} · /help for help, /exit leaves", style="faint"))
            _talk(conversation, file_paths)
        finally:
            conversation.close()
    err().print(Text(f"To go on later: localassist chat --thread {thread_id}", style="faint"))
    return DONE


def _thread(
    client: "OpenAI", bar: ProgressBar, paths: tuple[Path, ...], *, store: str | None, thread: str | None
) -> tuple[str, dict[str, str]]:
    """Give the thread to talk in, and the path of each of its files."""
    library = Library(client)
    if thread is not None and not paths and store is None:
        resources = client.beta.threads.retrieve(thread).tool_resources
        search = resources.file_search if resources else None
        store_ids = (search.vector_store_ids if search else None) or []
        return thread, {held.file_id: held.path for store_id in store_ids for held in library.held(store_id)}
    indexed = index(client, bar, paths, store=store, quiet=False)
    files = {"file_search": {"vector_store_ids": [indexed.store_id]}}
    if thread is not None:
        return client.beta.threads.update(thread, tool_resources=files).id, indexed.report.paths  # type: ignore[arg-type]  # a TypedDict of the SDK that this module must not import
    return client.beta.threads.create(tool_resources=files).id, indexed.report.paths  # type: ignore[arg-type]  # as above


def _talk(conversation: Conversation, paths: dict[str, str]) -> None:
    for line in _lines():
        reader, flow = Reader(paths), Flow(out())
        try:
            with without_echo(sys.stdin), closing(conversation.say(line, reader)) as pieces:
                for piece in pieces:
                    match piece:
                        case Said():
                            flow.write(piece.text, "mark" if piece.is_mark else "")
                        case Searched():
                            show_search(piece)
        except KeyboardInterrupt:
            err().print(Text("\nStopped.", style="faint"))
            continue
        except RunFailedError as error:
            err().print(Text(plain(str(error), keep="\n"), style="bad"))
            continue
        flow.end()
        out().print()
        if reader.answer.citations:
            print_citations(out(), reader.answer.citations)
            out().print()


def _lines() -> Iterator[str]:
    """Give what the user types, line by line, until Ctrl-D or /exit; without a terminal, the lines of stdin."""
    read = _prompting() if sys.stdin.isatty() else sys.stdin.readline
    while line := read():
        text = line.strip()
        if text in {"/exit", "/quit"}:
            return
        if text == "/help":
            err().print(Text(TYPED.rstrip(), style="faint"))
        elif text.startswith("/") and " " not in text and "/" not in text[1:]:
            err().print(Text(f"There is no command {plain(text)}; /help says what can be typed.", style="faint"))
        elif text:
            yield text


def _prompting() -> Callable[[], str]:
    def read() -> str:
        try:
            return input("> ") + "\n"
        except EOFError:
            err().print()
            return ""
        except KeyboardInterrupt:
            err().print()
            return "\n"

    return read
