"""One file's bytes to a `Document`: decides the parser, and checks what comes out."""

import dataclasses
import importlib
import unicodedata
from collections.abc import Callable

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.detect import detect_kind
from localassist.retrieval.parsers.kinds import Kind, kind_by_name

Parser = Callable[..., Document]

# Modules are named, not imported: each brings a library that a worker may never need.
_PARSERS: dict[Kind, tuple[str, str]] = {
    "text": ("text", "parse"),
    "markdown": ("markup", "parse_markdown"),
    "html": ("markup", "parse_html"),
    "pdf": ("pdf", "parse"),
    "docx": ("office", "parse_docx"),
    "pptx": ("office", "parse_pptx"),
    "xlsx": ("sheet", "parse"),
    "epub": ("epub", "parse"),
    "doc": ("doc", "parse"),
}


def parse_bytes(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read a file in this process; `ProcessParser` does it in another, with limits.

    Raises:
        IngestionError: the file is empty, unsupported, damaged, protected, without text, or longer than allowed.
    """
    kind = detect_kind(data, file_name)
    module, function = _PARSERS[kind]
    parser: Parser = getattr(importlib.import_module(f"localassist.retrieval.parsers.{module}"), function)
    document = parser(data, file_name=file_name, max_characters=max_characters)
    if not _has_visible_text(document.text):
        raise IngestionError(_describe_empty(data, document, file_name))
    if kind != kind_by_name(file_name):
        return dataclasses.replace(document, parser=f"{document.parser}, by content")
    return document


def _has_visible_text(text: str) -> bool:
    return any(not c.isspace() and unicodedata.category(c) not in {"Cc", "Cf", "Cn", "Mn"} for c in text)


def _describe_empty(data: bytes, document: Document, file_name: str) -> str:
    counted = f"{len(data):,} bytes"
    if document.n_pages:
        counted += f", {document.n_pages} pages or sheets of which {document.n_empty_pages} are empty"
    return (
        f"The file {file_name!r} holds no visible text ({counted}): only blanks, line ends or invisible characters. "
        "Choose a file with text in it."
    )
