import io
import struct
import zipfile
from pathlib import Path

import pytest

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers import doc
from localassist.retrieval.parsers.dispatch import parse_bytes

DATA = Path(__file__).parents[2] / "data"
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def parse(data: bytes, file_name: str) -> Document:
    return parse_bytes(data, file_name=file_name, max_characters=1_000_000)


def parse_file(name: str) -> Document:
    return parse((DATA / name).read_bytes(), name)


def archive(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return buffer.getvalue()


def docx(body: str, **extra: str) -> bytes:
    return archive(
        {
            "[Content_Types].xml": "<Types/>",
            "word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
            **extra,
        }
    )


def headings(document: Document) -> list[tuple[int, str]]:
    return [(h.level, document.text[h.start : h.end]) for h in document.headings]


def pages(document: Document) -> list[str]:
    return [document.text[p.start : p.end] for p in document.pages]


HARBOUR_LINES = [
    "Harbour log",
    "The pilot boat “Möwe” left at 06:40 in fog. Ελληνικά, Привет, 漢字 and 🚢 are kept.",
    "Crew",
    "Name | Rank",
    "Ada Brandt | Captain",
    "See the berths for more.",
    "Visibility was 80 metres.",
]


@pytest.mark.parametrize("name", ["harbour-log.docx", "harbour-log.doc"])
def test_word_documents_keep_paragraphs_tables_notes_and_all_scripts(name: str) -> None:
    document = parse_file(name)

    assert [line for line in document.text.split("\n") if line] == HARBOUR_LINES


def test_a_latin_word_97_document_is_read() -> None:
    assert "“Möwe” left at 06:40 in fog.\n" in parse_file("harbour-log-latin.doc").text


def test_docx_headings_are_found_by_style() -> None:
    assert headings(parse_file("harbour-log.docx")) == [(1, "Harbour log"), (2, "Crew")]


def test_an_epub_is_read_in_full() -> None:
    text = parse_file("harbour-log.epub").text

    assert "Name | Rank\nAda Brandt | Captain\n" in text
    assert "漢字 and 🚢 are kept." in text


def test_slides_are_pages_with_their_notes_and_tables() -> None:
    document = parse_file("lighthouse-slides.pptx")

    first, second, third = pages(document)
    assert first.startswith("Lighthouse survey 2026\nEleven towers")
    assert first.endswith("Mention the keeper of Skarvholm.")
    assert second == ""
    assert third == "Heights\nTower | Metres\nSkarvholm | 31"
    assert (document.n_pages, document.n_empty_pages) == (3, 1)


def test_sheets_are_pages_that_show_dates_shares_and_results() -> None:
    document = parse_file("catch-sheets.xlsx")

    assert pages(document) == [
        "Catch\nDay | Boat | Kilograms | Share\n"
        "2026-03-14 | Möwe | 412.5 | 62.5%\n2026-03-15 |  | 247.5 | 37.5%\nSum |  | 660",
        "Empty",
        "Crew 船员\nAda Brandt | 1",
    ]
    assert headings(document) == [(1, "Catch"), (1, "Empty"), (1, "Crew 船员")]
    assert (document.n_pages, document.n_empty_pages) == (3, 1)


def test_deleted_text_and_fallbacks_are_left_out_and_text_boxes_come_once() -> None:
    body = (
        "<w:p><w:r><w:t>kept </w:t></w:r><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del>"
        "<w:ins><w:r><w:t>added</w:t><w:tab/><w:t>tabbed</w:t></w:r></w:ins>"
        '<mc:AlternateContent xmlns:mc="urn:mc"><mc:Choice><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p>'
        "</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>"
        "</mc:Fallback></mc:AlternateContent></w:p>"
    )

    assert parse(docx(body), "a.docx").text == "kept added\ttabbed\nbox"


def test_a_style_that_extends_a_heading_is_a_heading() -> None:
    styles = (
        f'<w:styles {WORD}><w:style w:styleId="H2"><w:name w:val="heading 2"/></w:style>'
        '<w:style w:styleId="Mine"><w:name w:val="My own"/><w:basedOn w:val="H2"/></w:style>'
        '<w:style w:styleId="Loop"><w:basedOn w:val="Loop"/></w:style></w:styles>'
    )
    relation = f'<Relationships><Relationship Id="r1" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>'
    body = '<w:p><w:pPr><w:pStyle w:val="Mine"/></w:pPr><w:r><w:t>Title</w:t></w:r></w:p><w:p/>'

    document = parse(docx(body, **{"word/styles.xml": styles, "word/_rels/document.xml.rels": relation}), "a.docx")

    assert headings(document) == [(2, "Title")]


def test_the_cells_of_a_nested_table_come_once() -> None:
    def cell(text: str) -> str:
        return f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>"

    inner = f"<w:tbl><w:tr>{cell('in1')}{cell('in2')}</w:tr></w:tbl>"
    body = f"<w:tbl><w:tr>{cell('out')}<w:tc>{inner}<w:p><w:r><w:t>beside</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"

    assert parse(docx(body), "a.docx").text == "out | beside\nin1 | in2"


def test_a_slide_title_is_a_heading_and_slides_come_in_the_order_of_the_presentation() -> None:
    def slide(title: str) -> str:
        return (
            '<p:sld xmlns:p="urn:p" xmlns:a="urn:a"><p:sp><p:nvPr><p:ph type="title"/></p:nvPr><a:p><a:r><a:t>'
            f"{title}</a:t></a:r></a:p></p:sp><p:sp><p:ph type='sldNum'/><a:p><a:t>7</a:t></a:p></p:sp></p:sld>"
        )

    relations = "".join(f'<Relationship Id="r{i}" Type="{RELATIONS}/slide" Target="slides/s{i}.xml"/>' for i in (1, 2))
    data = archive(
        {
            "[Content_Types].xml": "<Types/>",
            "ppt/presentation.xml": f'<p:presentation xmlns:p="urn:p" xmlns:r="{RELATIONS}">'
            '<p:sldId id="256" r:id="r2"/>'
            '<p:sldId id="257" r:id="r1"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": f"<Relationships>{relations}</Relationships>",
            "ppt/slides/s1.xml": slide("One"),
            "ppt/slides/s2.xml": slide("Two"),
        }
    )

    document = parse(data, "a.pptx")

    assert pages(document) == ["Two", "One"]
    assert headings(document) == [(1, "Two"), (1, "One")]


def epub(chapter: str, **extra: str) -> bytes:
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container><rootfile full-path="OPS/p.opf"/></container>',
            "OPS/p.opf": '<package><manifest><item id="b" href="b%20b.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>',
            "OPS/b b.xhtml": chapter,
            "OPS/a.xhtml": "<html><head><title/></head><body><h1>Last</h1><p>End.</p></body></html>",
            **extra,
        }
    )


def test_chapters_come_in_reading_order_with_their_headings() -> None:
    chapter = (
        "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body><h2>First</h2><p>Begin</p></body></html>"
    )

    document = parse(epub(chapter), "book.epub")

    assert document.text == "First\n\nBegin\n\nLast\n\nEnd."
    assert headings(document) == [(2, "First"), (1, "Last")]


def test_a_protected_book_is_refused() -> None:
    method = '<encryption><EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></encryption>'

    with pytest.raises(IngestionError, match=r"protected \(DRM\)"):
        parse(epub("<html/>", **{"META-INF/encryption.xml": method}), "book.epub")


def test_pieces_of_a_word_97_file_may_be_latin_or_utf_16_in_any_order() -> None:
    stream = b"\x00" * 10 + "漢字🚢".encode("utf-16-le") + b"M\xf6we \x80"
    positions = struct.pack("<3I", 0, 6, 10)
    latin, wide = 18 * 2 | 0x40000000, 10
    table = positions + struct.pack("<HIH", 0, latin, 0) + struct.pack("<HIH", 0, wide, 0)
    clx = b"\x01\x02\x00ab" + b"\x02" + struct.pack("<I", len(table)) + table

    pieces = list(doc._pieces(stream, doc._piece_table(clx)))

    assert pieces == ["Möwe €", "漢字\ud83d\udea2"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a\x07b\x07\x07c\x07d\x07\x07after\r", ["a | b", "c | d", "after"]),
        ("before\ra\x07b\x07\x07", ["before", "a | b"]),
        ("two\rparagraphs\r", ["two", "paragraphs"]),
    ],
)
def test_word_97_table_marks_become_rows(raw: str, expected: list[str]) -> None:
    assert [line for line in doc._lines(raw) if line] == expected


def test_fields_show_their_result_even_inside_each_other() -> None:
    raw = "See \x13HYPERLINK x\x14page \x13PAGE\x1412\x15\x15, \x13TOC\x15end"

    assert doc._with_field_results(raw) == "See page 12, end"


@pytest.mark.parametrize("cut", [600, 2000, 5000, 9000])
def test_a_truncated_word_97_file_is_named_as_damaged(cut: int) -> None:
    data = (DATA / "harbour-log.doc").read_bytes()[:cut]

    with pytest.raises(IngestionError, match="damaged") as caught:
        parse(data, "a.doc")
    assert caught.value.code == "invalid_file"
