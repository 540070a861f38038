"""PDF: the text of each page, by PDFium, and by pypdf where PDFium fails."""

import io
import logging
import re
from collections.abc import Iterator, Set

import pypdf
import pypdfium2
from pypdf.errors import PdfReadError, PyPdfError

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder, clean

_LINE_END_HYPHEN = re.compile("(\\w*)[\ufffe\x02](?:\r?\n)?(\\w*)")
"""PDFium writes U+0002 (earlier: U+FFFE) for a hyphen that ends a line inside a word, and drops the line's end."""
_HYPHENATED = re.compile(r"\w+-\w+")
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
    if not document.n_pages:
        raise IngestionError(f"The PDF {file_name!r} has no pages. Choose a file with text in it.")
    if document.n_pages == document.n_empty_pages:
        raise IngestionError(
            f"The PDF {file_name!r} holds no text: {document.n_empty_pages} of its {document.n_pages} pages are empty. "
            "It is probably a scan. Add a text layer with OCR (for example: ocrmypdf in.pdf out.pdf) and use that."
        )
    return document


def _read(pages: Iterator[str], parser: str, max_characters: int) -> Document:
    builder = TextBuilder(max_characters=max_characters)
    texts = list(_up_to(pages, max_characters))
    hyphenated = {word for text in texts for word in _HYPHENATED.findall(text)}
    for text in texts:
        builder.begin_page()
        builder.write(_tidy(text, hyphenated))
        builder.end_page()
    return builder.build(parser)


def _up_to(pages: Iterator[str], max_characters: int) -> Iterator[str]:
    """Stop one page after the limit, where the builder will refuse the text."""
    n_characters = 0
    for text in pages:
        yield text
        n_characters += len(text)
        if n_characters > 2 * max_characters:
            return


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
            "PDF, and use that."
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
            "Use the complete file."
        )


def _protected(file_name: str) -> IngestionError:
    return IngestionError(
        f"The PDF {file_name!r} is protected by a password and cannot be read. Remove the password and try again."
    )


def _tidy(text: str, hyphenated: Set[str]) -> str:
    """Mend what typesetting did to words: hyphens at line ends, ligatures, soft hyphens, control characters.

    A word that was divided is joined, and keeps its hyphen if the document writes it with one elsewhere (`hyphenated`).
    """

    def join(word: re.Match[str]) -> str:
        with_hyphen = f"{word[1]}-{word[2]}"
        return with_hyphen if with_hyphen in hyphenated else word[1] + word[2]

    text = clean(_LINE_END_HYPHEN.sub(join, text)).translate(_LIGATURES)
    return _TRAILING_BLANKS.sub("", _DROPPED.sub("", text))
