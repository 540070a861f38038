"""Markdown and HTML: the text, and where its headings are."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder, clean
from localassist.retrieval.parsers.text import decode

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*?)(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_TITLE = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]\s|$)|\s{4}")

_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "math", "iframe", "object", "head", "select"})
_CELLS = frozenset({"td", "th"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li",
    "main", "nav", "ol", "optgroup", "option", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead",
    "tr", "ul",
})  # fmt: skip
_SPACED = frozenset({"article", "blockquote", "dl", "figure", "ol", "p", "pre", "section", "table", "ul"})
_LAYOUT = "h1, h2, h3, h4, h5, h6, table, ul, ol, pre"
"""A row that holds one of these belongs to a table that lays out a page; it holds no data."""
_SPACES = re.compile(r"[ \t\n\r\f\v]+")


def parse_markdown(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read Markdown as it is written; headings are found outside of code blocks.

    Raises:
        IngestionError: the bytes are no text, or are too many.
    """
    text, encoding = decode(data, file_name=file_name)
    text = clean(text)
    builder = TextBuilder(max_characters=max_characters)
    builder.write(text)
    fence = ""
    at = 0
    before = ""
    before_at = 0
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not line.strip().strip(fence[0]))):
            fence = "" if fence else mark[1]
        elif not fence and (title := _ATX.match(line)):
            if title[2]:
                builder.mark_heading(len(title[1]), at + title.start(2), at + title.end(2))
        elif not fence and (underline := _SETEXT.match(line)) and not _NOT_A_TITLE.match(before):
            start = before_at + len(before) - len(before.lstrip())
            builder.mark_heading(1 if underline[1][0] == "=" else 2, start, before_at + len(before.rstrip()))
        before, before_at = ("" if mark or fence else line), at
        at += len(line) + 1
    return builder.build("markdown" if encoding == "utf-8" else f"markdown ({encoding})")


def parse_html(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read the visible text of an HTML page; a table becomes rows with ` | ` between the cells.

    Raises:
        IngestionError: the bytes are no text, or are too many.
    """
    declared = _CHARSET.search(data[:4096])
    text, encoding = decode(data, file_name=file_name, declared=declared[1].decode("ascii") if declared else None)
    builder = TextBuilder(max_characters=max_characters)
    write_html(text, builder)
    return builder.build("html" if encoding == "utf-8" else f"html ({encoding})")


def write_html(source: str, builder: TextBuilder, *, with_title: bool = True) -> None:
    """Append the visible text of an HTML page to a document.

    Raises:
        IngestionError: the document would be too long, or needs too much memory.
    """
    try:
        tree = LexborHTMLParser(clean(source))
    except SelectolaxError as error:  # any bytes are HTML: it fails for want of memory only
        raise IngestionError(
            "The HTML needs more memory to be read than allowed. Split it into smaller files."
        ) from error
    if tree.body is None:
        return
    title = tree.css_first("head > title")
    first_heading = tree.css_first("h1")
    if with_title and title is not None:
        name = " ".join(title.text().split())
        if first_heading is None or " ".join(first_heading.text().split()) != name:
            builder.line(name)
    _Walk(builder).run(tree.body)


class _Walk:
    """Visits a tree without recursion, so that depth costs no stack, and writes lines as blocks open and close."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._line: list[str] = []
        self._cells: list[str] | None = None
        self._heading: int | None = None
        self._n_pre = 0

    def run(self, root: LexborNode) -> None:
        node: LexborNode | None = root
        while node is not None:
            child = node.first_child if self._open(node) else None
            if child is not None:
                node = child
                continue
            while node is not None:
                self._close(node)
                if node.mem_id == root.mem_id:
                    node = None
                elif (following := node.next) is not None:
                    node = following
                    break
                else:
                    node = node.parent
        self._end_line()

    def _open(self, node: LexborNode) -> bool:
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content or ""
            self._line.append(text if self._n_pre else _SPACES.sub(" ", text))
            return False
        if tag.startswith(("-", "_", "!")) or tag in _DROPPED:
            return False
        if tag == "br":
            self._line.append(" " if self._cells is not None or self._heading else "\n")
        elif tag in {"h1", "h2", "h3", "h4", "h5", "h6"} and self._cells is None:
            self._end_line()
            self._heading = int(tag[1])
        elif tag == "tr":
            self._end_row()
            self._end_line()
            self._cells = None if node.css_first(_LAYOUT) is not None else []
        elif tag in _CELLS and self._cells is not None:
            self._cells.extend(filter(None, [self._take()]))
        else:
            self._border(tag)
        self._n_pre += tag == "pre"
        return True

    def _close(self, node: LexborNode) -> None:
        tag = node.tag or ""
        if tag in _DROPPED:
            return
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self._end_line()
            self._heading = None
        elif tag == "tr":
            self._end_row()
        elif tag in _CELLS and self._cells is not None:
            self._cells.append(self._take())
        else:
            self._border(tag)
        self._n_pre -= tag == "pre"

    def _border(self, tag: str) -> None:
        if tag in _BLOCKS or tag in _CELLS:
            self._end_line()
            if tag in _SPACED and self._cells is None:
                self._builder.blank_line()

    def _end_line(self) -> None:
        if self._cells is not None:
            self._line.append(" ")
            return
        text = "".join(self._line)
        self._line.clear()
        if self._heading is not None:
            self._builder.heading(text, level=self._heading)
        elif self._n_pre:
            if text.strip():
                self._builder.write(text.strip("\n") + "\n")
        else:
            for line in text.split("\n"):
                self._builder.line(_SPACES.sub(" ", line))

    def _end_row(self) -> None:
        if self._cells is None:
            return
        cells = [*self._cells, *filter(None, [self._take()])]
        self._cells = None
        if any(cells):
            self._builder.line(" | ".join(cells))

    def _take(self) -> str:
        text = " ".join("".join(self._line).split())
        self._line.clear()
        return text
