"""A run's stream to what a person reads: text with numbered marks, and under it the quoted sentences."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from localassist.cli.escapes import plain
from localassist.cli.paths import shown
from localassist.config import EXTRACTIVE
from localassist.errors import LocalAssistError
from localassist.llm.languages import WORDINGS

if TYPE_CHECKING:
    from localassist.local import OpenAI

INSTRUCTIONS: Final = (
    "You answer questions about the user's files. Search them with file_search before you answer, and rest every "
    "statement on the passages you found, each cited with its mark. Say so when the files do not hold the answer. "
    "Answer briefly, in the language of the question."
)
_MAX_QUOTE: Final = 400
_NEAREST: Final = tuple(wording.nearest for wording in WORDINGS.values())
"""How the embedded answerer begins when no passage uses the words of the question."""


class RunFailedError(LocalAssistError):
    """The run ended without an answer; the message is the run's own."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that the answer cites, under the number it has in the text."""

    number: int
    file_id: str
    file: str
    path: str | None
    page: int | None
    quote: str | None
    start_index: int | None
    end_index: int | None


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the answer, its marks already numbers."""

    text: str
    is_mark: bool = False


@dataclass(frozen=True, slots=True)
class Searched:
    """A search that the model made, with the files that the passages came from."""

    queries: Sequence[str]
    n_passages: int
    files: Sequence[str]


@dataclass(slots=True)
class Answer:
    """An answer as far as it has come."""

    model: str = ""
    text: str = ""
    citations: list[Cited] = field(default_factory=list)
    searches: list[Searched] = field(default_factory=list)
    usage: dict[str, Any] | None = None

    @property
    def is_found(self) -> bool:
        """Whether the files answer: something is cited, and not as the nearest passage for want of a better one."""
        is_nearest = self.model == EXTRACTIVE and self.text.lstrip().startswith(_NEAREST)
        return bool(self.citations) and not is_nearest

    def document(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "answer": self.text.strip(),
            "found": self.is_found,
            "citations": [asdict(cited) for cited in self.citations],
            "searches": [asdict(search) for search in self.searches],
            "model": self.model,
            "usage": self.usage,
        }


class Reader:
    """Reads the events of one run into an `Answer`, and yields what is new as it comes."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.answer = Answer()
        self._paths = paths
        self._numbers: dict[tuple[Any, ...], int] = {}

    def read(self, events: Any) -> Generator[Said | Searched, None, None]:
        """Follow the stream to its end.

        Raises:
            RunFailedError: the run did not complete.
        """
        for event in events:
            match event.event:
                case "thread.message.delta":
                    yield from self._said(event.data.delta.content or [])
                case "thread.run.step.completed" if event.data.step_details.type == "tool_calls":
                    yield from self._searched(event.data.step_details.tool_calls)
                case "thread.run.completed":
                    self.answer.model = event.data.model
                    self.answer.usage = event.data.usage.model_dump() if event.data.usage else None
                case "thread.run.failed" | "thread.run.expired" | "thread.run.incomplete" | "thread.run.cancelled":
                    raise RunFailedError(_why(event.data))
                case "error":
                    raise RunFailedError(getattr(event.data, "message", None) or "The stream ended with an error.")

    def _said(self, content: Sequence[Any]) -> Generator[Said, None, None]:
        for part in content:
            if part.type != "text" or part.text is None:
                continue
            citations = [a for a in part.text.annotations or [] if a.type == "file_citation"]
            if citations:
                said = Said("".join(f"[{self._number(a.file_citation)}]" for a in citations), is_mark=True)
                if self.answer.text.endswith(said.text):
                    continue  # the same sentence twice in a row needs one mark
            else:
                said = Said(part.text.value or "")
            self.answer.text += said.text
            yield said

    def _number(self, citation: Any) -> int:
        extra = citation.model_dump()
        key = (extra.get("file_id"), extra.get("start_index"), extra.get("quote"))
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            path = self._paths.get(extra["file_id"])
            self.answer.citations.append(
                Cited(
                    self._numbers[key],
                    extra["file_id"],
                    extra.get("file_name") or (Path(path).name if path else extra["file_id"]),
                    path,
                    extra.get("page"),
                    extra.get("quote"),
                    extra.get("start_index"),
                    extra.get("end_index"),
                )
            )
        return self._numbers[key]

    def _searched(self, calls: Sequence[Any]) -> Generator[Searched, None, None]:
        for call in calls:
            if call.type == "file_search":
                results = call.file_search.results or []
                files = dict.fromkeys(result.file_name for result in results)
                queries = getattr(call.file_search, "queries", None) or []
                search = Searched(queries, len(results), list(files))
                self.answer.searches.append(search)
                yield search


def ask(
    client: "OpenAI", *, model: str, store_id: str, question: str, reader: Reader
) -> Generator[Said | Searched, None, None]:
    """Ask one question of one store; nothing of it is kept once the generator is closed."""
    assistant = client.beta.assistants.create(
        model=model, name="localassist ask", instructions=INSTRUCTIONS, tools=[{"type": "file_search"}]
    )
    thread = None
    try:
        thread = client.beta.threads.create(
            messages=[{"role": "user", "content": question}],
            tool_resources={"file_search": {"vector_store_ids": [store_id]}},
        )
        with client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id, stream=True) as events:
            yield from reader.read(events)
    finally:
        if thread is not None:
            client.beta.threads.delete(thread.id)
        client.beta.assistants.delete(assistant.id)


def print_citations(console: Console, citations: Sequence[Cited]) -> None:
    """Write the cited passages under their numbers: file, page, the quoted sentence."""
    for cited in citations:
        line = Text.assemble((f"[{cited.number}]", "mark"), " ", (shown(cited.path or cited.file), "file"))
        if cited.page is not None:
            line.append(f", page {cited.page}", "page")
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
        if cited.quote:
            indent = 3 + len(str(cited.number)) + 2
            console.print(Padding(Text(f"“{clipped(cited.quote)}”", style="quote"), (0, 0, 0, indent), expand=False))


def clipped(text: str, limit: int = _MAX_QUOTE) -> str:
    """Write a text in one line that no terminal obeys, and cut it after `limit` characters."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _why(run: Any) -> str:
    if run.last_error is not None:
        return f"The run {run.status}: {run.last_error.message}"
    reason = getattr(run.incomplete_details, "reason", None)
    return f"The run ended as {run.status}" + (f": {reason}." if reason else ".")
