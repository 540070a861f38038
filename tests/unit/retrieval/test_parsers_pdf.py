import io

import pypdf
import pypdfium2
import pytest
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers import pdf


def pdf_of(*pages: list[str]) -> bytes:
    """A PDF with one line of Helvetica for each string; no string makes an empty page."""
    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")}
        | {NameObject("/BaseFont"): NameObject("/Helvetica")}
    )
    for lines in pages:
        page = writer.add_blank_page(width=400, height=400)
        content = DecodedStreamObject()
        drawn = "".join(f"({line}) Tj 0 -20 Td " for line in lines)
        content.set_data(f"BT /F1 12 Tf 20 360 Td {drawn}ET".encode("latin-1"))
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        page[NameObject("/Contents")] = writer._add_object(content)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def parse(data: bytes) -> Document:
    return pdf.parse(data, file_name="a.pdf", max_characters=10_000)


def test_empty_pages_are_counted_and_keep_their_number() -> None:
    document = parse(pdf_of(["First page"], [], ["Third page"]))

    assert [(p.number, document.text[p.start : p.end]) for p in document.pages] == [
        (1, "First page"),
        (2, ""),
        (3, "Third page"),
    ]
    assert (document.n_pages, document.n_empty_pages) == (3, 1)


def test_a_word_divided_at_the_end_of_a_line_is_joined() -> None:
    document = parse(pdf_of(["The commit-", "tee met a", "well-", "known man, well-known in 1990-2000."]))

    assert document.text == "The committee met a\nwell-known man, well-known in 1990-2000."


@pytest.mark.parametrize(
    ("raw", "tidy"),
    [
        ("exam\ufffeined", "examined"),
        ("exam\x02\r\nined", "examined"),
        ("of\ufb01ce \ufb03", "office ffi"),
        ("a\xadb \x00c\x07  \r\nd", "ab c\nd"),
    ],
)
def test_traces_of_typesetting_are_mended(raw: str, tidy: str) -> None:
    assert pdf._tidy(raw, set()) == tidy


def test_pypdf_reads_the_same_words_where_pdfium_fails() -> None:
    data = pdf_of(["Tide tables", "of Norrvik"], [])

    document = pdf._read(pdf._pages_by_pypdf(data, "a.pdf"), "pdf (pypdf)", 10_000)

    assert document.text.split() == parse(data).text.split()
    assert (document.n_pages, document.n_empty_pages, document.parser) == (2, 1, "pdf (pypdf)")


def test_a_pdf_that_pdfium_refuses_is_tried_with_pypdf() -> None:
    data = b"%PDF-1.4\n%%EOF\n"

    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(data)
    with pytest.raises(IngestionError, match="damaged"):
        parse(data)


def test_a_pdf_with_too_much_text_is_refused() -> None:
    with pytest.raises(IngestionError, match="more text than the 10,000 characters"):
        parse(pdf_of(*[["word " * 12] * 18] * 12))
