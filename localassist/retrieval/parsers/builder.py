"""A document's text as it grows, with its pages and headings."""

import re

from localassist.errors import IngestionError
from localassist.retrieval.model import Document, Heading, Page

_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_UNWANTED = re.compile("[\x00\ud800-\udfff]")
_LINE_ENDS = re.compile("\r\n?")


def clean(text: str) -> str:
    """Give a text of whole characters: no NUL, no lone surrogate (each becomes U+FFFD), line feeds as line ends."""
    if "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    if _UNWANTED.search(text):
        text = _SURROGATE_PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), text)
        text = _UNWANTED.sub(lambda c: "" if c.group() == "\x00" else "\ufffd", text)
    return text


class TextBuilder:
    """Collects text, and remembers where pages and headings lie in it.

    Every write is cleaned, so that the spans are those of the finished text.
    """

    def __init__(self, *, max_characters: int) -> None:
        self._max_characters = max_characters
        self._parts: list[str] = []
        self._length = 0
        self._pages: list[Page] = []
        self._headings: list[Heading] = []
        self._page_start: int | None = None
        self._n_empty_pages = 0

    @property
    def length(self) -> int:
        """Give the number of characters so far."""
        return self._length

    def write(self, text: str) -> None:
        """Append a text as it is.

        Raises:
            IngestionError: the document would be longer than allowed.
        """
        text = clean(text)
        self._length += len(text)
        if self._length > self._max_characters:
            raise IngestionError(
                f"The file holds more text than the {self._max_characters:,} characters allowed for one file. "
                "Split it into smaller files."
            )
        if text:
            self._parts.append(text)

    def line(self, text: str) -> None:
        """Append a line; a line without a visible character is left out."""
        if text.strip():
            self.write(text.strip() + "\n")

    def blank_line(self) -> None:
        """Separate what follows by one empty line."""
        tail = "".join(part[-2:] for part in self._parts[-2:])[-2:]
        if self._length and tail != "\n\n":
            self.write("\n" if tail.endswith("\n") else "\n\n")

    def heading(self, text: str, *, level: int) -> None:
        """Append a heading on a line of its own."""
        text = " ".join(clean(text).split())
        if not text:
            return
        self.blank_line()
        start = self._length
        self.write(text)
        self._headings.append(Heading(level, start, self._length))
        self.write("\n")

    def mark_heading(self, level: int, start: int, end: int) -> None:
        """Say that characters already written are a heading."""
        self._headings.append(Heading(level, start, end))

    def begin_page(self) -> None:
        """Begin a page; what was written before lies outside of it."""
        self.blank_line()
        self._page_start = self._length

    def end_page(self, *, empty: bool | None = None) -> None:
        """End the page; it counts as empty if nothing visible was written on it, or if the caller says so."""
        start = self._length if self._page_start is None else self._page_start
        self._page_start = None
        written = self._length - start
        tail = self._tail(written)
        is_empty = not tail.strip() if empty is None else empty
        self._n_empty_pages += is_empty
        end = self._length - (len(tail) - len(tail.rstrip()))
        self._pages.append(Page(len(self._pages) + 1, start, max(start, end)))

    def build(self, parser: str) -> Document:
        """Finish: trailing white space is cut off, and pages with it."""
        text = "".join(self._parts).rstrip()
        n = len(text)
        return Document(
            text=text,
            pages=tuple(Page(p.number, min(p.start, n), min(p.end, n)) for p in self._pages),
            headings=tuple(h for h in self._headings if h.end <= n),
            n_pages=len(self._pages),
            n_empty_pages=self._n_empty_pages,
            parser=parser,
        )

    def _tail(self, n_characters: int) -> str:
        parts: list[str] = []
        missing = n_characters
        for part in reversed(self._parts):
            if missing <= 0:
                break
            parts.append(part[-missing:])
            missing -= len(part)
        return "".join(reversed(parts))
