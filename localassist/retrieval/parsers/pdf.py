"""PDF: the text of each page, by PDFium, and by pypdf where PDFium fails."""

import io
import logging
import re
from collections.abc import Iterator

import pypdf
import pypdfium2
from pypdf.errors import PdfReadError, PyPdfError

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder, clean

_LINE_END_HYPHEN = re.compile("(\\w*)[\ufffe\x02](?:\r?\n)?(\\w*)")
"""PDFium writes U+FFFE (earlier: U+0002) for a hyphen that ends a line inside a word, and drops the line's end."""
_DROPPED = re.compile("[\x00-\x08\x0b\x0e-\x1f\xad\ufffe\uffff]")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
_TRAILING_BLANKS = re.compile(r"[ \t]+(?=\n)")
_TAIL_BYTES = 4096


def parse(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read the text layer of a PDF, page by page.

    Raises:
        IngestionError: the file is protected by a password, truncated, damaged, or has no text on any page.
    """
    _refuse_truncated(data, file_name)
    try:
        document = _read(_pages_by_pdfium(data, file_name), "pdf (pypdfium2)", max_characters)
    except pypdfium2.PdfiumError:
        document = _read(_pages_by_pypdf(data, file_name), "pdf (pypdf)", max_characters)
    if document.n_pages == document.n_empty_pages:
        raise IngestionError(
            f"The PDF {file_name!r} holds no text: {document.n_empty_pages} of its {document.n_pages} pages are empty. "
            "It is probably a scan. Add a text layer with OCR (for example: ocrmypdf in.pdf out.pdf) and upload that."
        )
    return document


def _read(pages: Iterator[str], parser: str, max_characters: int) -> Document:
    builder = TextBuilder(max_characters=max_characters)
    for text in pages:
        builder.begin_page()
        builder.write(_tidy(text))
        builder.end_page()
    return builder.build(parser)


def _pages_by_pdfium(data: bytes, file_name: str) -> Iterator[str]:
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise _protected(file_name) from error
        raise
    try:
        for index in range(len(pdf)):
            page = pdf[index]
            text_page = page.get_textpage()
            yield text_page.get_text_bounded()
            text_page.close()
            page.close()
    finally:
        pdf.close()


def _pages_by_pypdf(data: bytes, file_name: str) -> Iterator[str]:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _protected(file_name)
        for page in reader.pages:
            yield page.extract_text()
    except (PyPdfError, PdfReadError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise IngestionError(
            f"The PDF {file_name!r} is damaged and cannot be read ({error}). Open it in a viewer, print it to a new "
            "PDF, and upload that."
        ) from error
    except RecursionError as error:
        raise IngestionError(
            f"The PDF {file_name!r} is damaged: its objects contain each other without end."
        ) from error


def _refuse_truncated(data: bytes, file_name: str) -> None:
    tail = data.rstrip(b"\x00\t\n\f\r ")[-_TAIL_BYTES:]
    if b"%%EOF" not in tail and b"startxref" not in tail:
        raise IngestionError(
            f"The PDF {file_name!r} is truncated: its {len(data):,} bytes do not end with the end mark of a PDF. "
            "Upload the complete file."
        )


def _protected(file_name: str) -> IngestionError:
    return IngestionError(
        f"The PDF {file_name!r} is protected by a password and cannot be read. Remove the password and upload it again."
    )


def _tidy(text: str) -> str:
    """Mend what typesetting did to words: hyphens at line ends, ligatures, soft hyphens, control characters."""
    text = clean(_LINE_END_HYPHEN.sub(r"\1\2", text)).translate(_LIGATURES)
    return _TRAILING_BLANKS.sub("", _DROPPED.sub("", text))
