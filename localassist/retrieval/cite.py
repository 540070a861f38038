"""The model's marks to `file_citation` annotations.

The model is shown numbered sources and writes `【4:0†source】` behind what it took from one. A mark that names a source
stays in the text and becomes an annotation; one that names none is removed. While a reply streams, a half-written mark
is held back: what was shown is never changed.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localassist.retrieval.analyze import terms
from localassist.retrieval.model import Page
from localassist.types.message import FileCitation, FileCitationAnnotation

FIRST_CALL = 4
"""The number before the colon of a run's first search. Source: every recording of the hosted service has 4 there."""

_MARK = re.compile(r"【(\d{1,4})(?::(\d{1,4}))?(†[^【】\n]{0,300})?】")
_HALF_MARK = re.compile(r"【(?:\d{1,4}(?::(?:\d{1,4})?)?(?:†[^【】\n]{0,300})?)?")
_BORDER = re.compile(
    r"(?<=[.!?…])[\"'”’»)\]]*(?=\s+[^\sa-z])"  # the end of a sentence in Latin script
    r"|(?<=[。！？])[”’」』）]*"
    r"|\n(?=[ \t]*(?:\n|[-*+•·|#>]|\(?\d{1,3}[.)]\s))"  # an empty line, a list item, a row of a table, a heading
    r"|\n(?=[^\n|]*\|[^\n|]*\|)|(?<=\|)\n"  # before and behind rows of tables
)
_HEADING_CHARACTERS = 60
_TRAILING_SPACE = re.compile(r"[ \t]+\Z")
_CLAIM_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that the model was shown. `text` begins at character `start` of the file's text."""

    number: str
    """`call:source`, as it stands in the mark."""
    file_id: str
    file_name: str
    text: str
    start: int
    pages: Sequence[Page] = ()


@dataclass(frozen=True, slots=True)
class Cited:
    """A piece of the final text, and the annotation if the piece is a mark."""

    text: str
    annotation: FileCitationAnnotation | None = None


class Citations:
    """Turns one message's text, as it streams, into final text and annotations."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {source.number: source for source in sources}
        self._held = ""
        self._space = ""
        self._removed = False
        self._text = ""

    @property
    def text(self) -> str:
        """Give the final text so far."""
        return self._text

    def feed(self, text: str) -> list[Cited]:
        """Take what the model wrote just now and give what may be shown of it."""
        self._held += text
        pieces: list[Cited] = []
        while self._held:
            before, bracket, rest = self._held.partition("【")
            self._say(before, pieces)
            if not bracket:
                self._held = ""
                break
            self._held = bracket + rest
            mark = _MARK.match(self._held)
            if mark is not None and (mark[2] is not None or mark[3] is not None):
                self._held = self._held[mark.end() :]
                self._cite(mark, pieces)
            elif mark is None and _HALF_MARK.fullmatch(self._held):
                break
            else:
                self._held = rest
                self._say(bracket, pieces)
        return pieces

    def finish(self) -> list[Cited]:
        """Give what was held back: the text ends here."""
        pieces: list[Cited] = []
        held, self._held = self._held, ""
        if re.match(r"【\d{1,4}[:†]", held):
            self._removed = True
        else:
            self._say(held, pieces)
        if self._space and not self._removed:
            self._put(self._space, pieces)
        self._space = ""
        return pieces

    def _say(self, text: str, pieces: list[Cited]) -> None:
        """Show plain text; white space at its end waits, because a mark that is removed takes it along."""
        if not text:
            return
        if self._removed and (text[0].isspace() or not text[0].isalnum()):
            self._space = ""
        self._removed = False
        text = self._space + text
        trailing = _TRAILING_SPACE.search(text)
        self._space = trailing[0] if trailing else ""
        self._put(text[: len(text) - len(self._space)], pieces)

    def _cite(self, mark: re.Match[str], pieces: list[Cited]) -> None:
        source = self._find(mark)
        if source is None:
            self._removed = True
            return
        self._put(self._space, pieces)
        self._space, self._removed = "", False
        start = len(self._text)
        annotation = FileCitationAnnotation(
            text=mark[0],
            start_index=start,
            end_index=start + len(mark[0]),
            file_citation=_citation(source, self._text[-_CLAIM_CHARACTERS:]),
        )
        self._put(mark[0], pieces, annotation)

    def _find(self, mark: re.Match[str]) -> Source | None:
        if mark[2] is not None:
            return self._sources.get(f"{int(mark[1])}:{int(mark[2])}")
        calls = [int(number.partition(":")[0]) for number in self._sources]
        return self._sources.get(f"{max(calls)}:{int(mark[1])}") if calls else None

    def _put(self, text: str, pieces: list[Cited], annotation: FileCitationAnnotation | None = None) -> None:
        if text:
            self._text += text
            pieces.append(Cited(text, annotation))


def numbered(sources: Sequence[Source]) -> str:
    """Write sources for the model, each under its mark."""
    return "\n\n".join(f"【{s.number}†{_safe(s.file_name)}】{_where(s)}\n{s.text}" for s in sources)


def without_marks(text: str, annotations: Iterable[tuple[int, int]]) -> str:
    """Give `text` without the characters of its annotations: earlier marks must not be taken for today's sources."""
    kept, end = [], 0
    for start, stop in sorted(annotations):
        kept.append(text[end:start])
        end = max(end, stop)
    kept.append(text[end:])
    return "".join(kept)


def best_sentence(claim: str, passage: str) -> tuple[int, int]:
    """Find the sentence of `passage` that bears out the end of `claim`; characters start and end (exclusive).

    A sentence that the claim quotes word for word is taken; else the one that shares most of its terms with the claim's
    last sentence, long sentences at a discount. Without any shared term it is the first sentence.
    """
    sentences = [span for span in _sentences(passage) if span[1] > span[0]]
    if not sentences:
        return 0, len(passage)
    flat = _flat(claim)
    quoted = [(s, e) for s, e in sentences if e - s > 8 and _flat(passage[s:e]) in flat]
    if quoted:
        return max(quoted, key=lambda span: flat.rfind(_flat(passage[span[0] : span[1]])))
    spans = _sentences(_MARK.sub(" ", claim).rstrip())
    wanted = set(terms(claim[spans[-1][0] :] if spans else claim))

    def shared(span: tuple[int, int]) -> float:
        found = set(terms(passage[span[0] : span[1]]))
        return len(found & wanted) / math.sqrt(4 + len(found))

    return max(sentences, key=lambda span: (shared(span), -span[0]))


def _citation(source: Source, claim: str) -> FileCitation:
    first, last = best_sentence(claim, source.text)
    start = source.start + first
    page = next((p.number for p in source.pages if p.start <= start < p.end), None)
    if page is None and source.pages:
        page = source.pages[0].number
    return FileCitation(
        file_id=source.file_id,
        file_name=source.file_name,
        quote=source.text[first:last],
        page=page,
        start_index=start,
        end_index=source.start + last,
    )


def _sentences(text: str) -> list[tuple[int, int]]:
    """Find the sentences, list items, rows and headings of a text; lines broken for the page go on."""
    borders = {match.end() for match in _BORDER.finditer(text)} | _ends_of_headings(text)
    spans = []
    for start, end in itertools.pairwise([0, *sorted(borders), len(text)]):
        raw = text[start:end]
        first, last = start + len(raw) - len(raw.lstrip()), start + len(raw.rstrip())
        if last > first:
            spans.append((first, last))
    return spans


def _ends_of_headings(text: str) -> set[int]:
    """Find where short lines without an end mark stand before a line that begins anew and is much longer."""
    ends, place = set(), 0
    for line, following in itertools.pairwise([*text.split("\n"), ""]):
        place += len(line) + 1
        short = 0 < len(line.strip()) <= _HEADING_CHARACTERS and line.rstrip()[-1] not in ".!?…。！？,;:，；："
        if short and following[:1].isupper() and len(following) > 1.5 * len(line):
            ends.add(min(place, len(text)))
    return ends


def _flat(text: str) -> str:
    return " ".join(text.split())


def _safe(file_name: str) -> str:
    return re.sub(r"[【】\n\r†]", "_", file_name)


def _where(source: Source) -> str:
    pages: Mapping[int, None] = dict.fromkeys(page.number for page in source.pages)
    if not pages:
        return ""
    numbers = list(pages)
    return f" (page {numbers[0]})" if len(numbers) == 1 else f" (pages {numbers[0]} to {numbers[-1]})"
