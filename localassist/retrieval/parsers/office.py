"""Word and PowerPoint (Office Open XML): paragraphs, headings, tables, notes, slides."""

import re
from collections.abc import Iterator

from lxml import etree

from localassist.retrieval.model import Document
from localassist.retrieval.parsers.archive import Archive, attribute, local_name
from localassist.retrieval.parsers.builder import TextBuilder

_HEADING_NAME = re.compile(r"heading (\d)", re.IGNORECASE)
_WORD_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "ptab": "\t"}
_WORD_SKIPPED = frozenset({"del", "moveFrom", "Fallback", "pPr", "rPr", "txbxContent", "instrText", "delText"})


def parse_docx(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read a Word document: body, tables, text boxes, footnotes and endnotes; deleted text is left out.

    Raises:
        IngestionError: the file is damaged or passes a limit.
    """
    builder = TextBuilder(max_characters=max_characters)
    with Archive(data, file_name=file_name) as archive:
        main = _main_part(archive, "word/document.xml")
        parts = {kind: path for kind, path in archive.relations(main).values() if path in archive}
        levels = _heading_levels(archive.xml(parts["styles"])) if "styles" in parts else {}
        for body in _children(archive.xml(main), "body"):
            _write_blocks(body, levels, builder)
        for kind in ("footnotes", "endnotes"):
            if kind in parts:
                _write_notes(archive.xml(parts[kind]), builder)
    return builder.build("docx")


def parse_pptx(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read a presentation: one page for each slide, its title as heading, tables, diagrams, and speaker notes.

    Raises:
        IngestionError: the file is damaged or passes a limit.
    """
    builder = TextBuilder(max_characters=max_characters)
    with Archive(data, file_name=file_name) as archive:
        main = _main_part(archive, "ppt/presentation.xml")
        relations = archive.relations(main)
        for slide_id in archive.xml(main).iter("{*}sldId"):
            kind, path = relations.get(_relation_id(slide_id), ("", ""))
            if kind == "slide" and path in archive:
                builder.begin_page()
                _write_slide(archive, path, builder)
                builder.end_page()
    return builder.build("pptx")


def _main_part(archive: Archive, usual: str) -> str:
    for kind, path in archive.relations("").values():
        if kind == "officeDocument" and path in archive:
            return path
    return usual


def _relation_id(element: etree._Element) -> str:
    """Give `r:id`; the plain `id` beside it is a number of its own."""
    return next((str(v) for k, v in element.attrib.items() if str(k).endswith("}id")), "")


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in element if local_name(child) == name)


def _heading_levels(styles: etree._Element) -> dict[str, int]:
    """Find the styles that are headings, by their name or their outline level, also through the styles they extend."""
    levels: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in _children(styles, "style"):
        style_id = attribute(style, "styleId") or ""
        if (level := _style_level(style)) is not None:
            levels[style_id] = level
        for based_on in _children(style, "basedOn"):
            parents[style_id] = attribute(based_on, "val") or ""
    for style_id in parents:
        ancestor, seen = style_id, set[str]()
        while ancestor not in levels and ancestor in parents and ancestor not in seen:
            seen.add(ancestor)
            ancestor = parents[ancestor]
        if ancestor in levels:
            levels[style_id] = levels[ancestor]
    return levels


def _style_level(style: etree._Element) -> int | None:
    for child in _children(style, "name"):
        name = attribute(child, "val") or ""
        if found := _HEADING_NAME.fullmatch(name):
            return int(found[1])
        if name.lower() == "title":
            return 1
    return next((_outline_level(properties) for properties in _children(style, "pPr")), None)


def _outline_level(properties: etree._Element) -> int | None:
    """Give 1 to 9; Word's own 0 to 8 are headings, 9 is body text."""
    for child in _children(properties, "outlineLvl"):
        value = attribute(child, "val") or ""
        if value.isdecimal() and int(value) < 9:
            return int(value) + 1
    return None


def _write_blocks(parent: etree._Element, levels: dict[str, int], builder: TextBuilder) -> None:
    for block in parent:
        match local_name(block):
            case "p":
                _write_paragraph(block, levels, builder)
            case "tbl":
                builder.blank_line()
                for row in block.iter("{*}tr"):
                    _write_row(row, builder)
                builder.blank_line()
            case "sdt" | "sdtContent" | "customXml" | "ins" | "moveTo" | "smartTag" | "AlternateContent" | "Choice":
                _write_blocks(block, levels, builder)


def _write_notes(notes: etree._Element, builder: TextBuilder) -> None:
    builder.blank_line()
    for note in notes:
        if attribute(note, "type") is None:  # the others are separators
            _write_blocks(note, {}, builder)


def _write_paragraph(paragraph: etree._Element, levels: dict[str, int], builder: TextBuilder) -> None:
    boxes: list[etree._Element] = []
    text = "".join(_run_text(paragraph, boxes))
    level = _paragraph_level(paragraph, levels)
    if level is not None:
        builder.heading(text, level=level)
    else:
        builder.line(text)
    for box in boxes:
        _write_blocks(box, levels, builder)


def _paragraph_level(paragraph: etree._Element, levels: dict[str, int]) -> int | None:
    for properties in _children(paragraph, "pPr"):
        for style in _children(properties, "pStyle"):
            if (level := levels.get(attribute(style, "val") or "")) is not None:
                return level
        return _outline_level(properties)
    return None


def _run_text(element: etree._Element, boxes: list[etree._Element]) -> Iterator[str]:
    """Give the text inside a paragraph, and collect its text boxes."""
    for child in element:
        name = local_name(child)
        if name == "t":
            yield child.text or ""
        elif name in _WORD_CHARACTERS:
            yield _WORD_CHARACTERS[name]
        elif name == "txbxContent":
            boxes.append(child)
        elif name not in _WORD_SKIPPED:
            yield from _run_text(child, boxes)


def _write_row(row: etree._Element, builder: TextBuilder) -> None:
    """Write a table row on one line; the rows of a table inside a cell are lines of their own and are not repeated."""
    cells: list[str] = []
    for cell in _children(row, "tc"):
        paragraphs = ("".join(_run_text(p, [])) for p in cell.iter("{*}p") if _row_of(p) is row)
        cells.append(" ".join(" ".join(paragraphs).split()))
    if any(cells):
        builder.line(" | ".join(cells))


def _row_of(element: etree._Element) -> etree._Element | None:
    return next(element.iterancestors("{*}tr"), None)


def _write_slide(archive: Archive, path: str, builder: TextBuilder) -> None:
    _write_shapes(archive.xml(path), builder, with_titles=True)
    for kind, target in archive.relations(path).values():
        if target not in archive:
            continue
        if kind == "diagramData":
            for text in archive.xml(target).iter("{*}t"):
                if text.text and text.tag.endswith("drawingml/2006/main}t"):
                    builder.line(text.text)
        elif kind == "notesSlide":
            builder.blank_line()
            _write_shapes(archive.xml(target), builder, with_titles=False)


def _write_shapes(slide: etree._Element, builder: TextBuilder, *, with_titles: bool) -> None:
    for shape in slide.iter("{*}sp", "{*}tbl"):
        if local_name(shape) == "tbl":
            for row in _children(shape, "tr"):
                cells = [
                    " ".join(" ".join(map(_slide_text, cell.iter("{*}p"))).split()) for cell in _children(row, "tc")
                ]
                if any(cells):
                    builder.line(" | ".join(cells))
            continue
        role = next((p.get("type") or "body" for p in shape.iter("{*}ph")), "")
        paragraphs = [_slide_text(p) for p in shape.iter("{*}p")]
        if role in {"title", "ctrTitle"} and with_titles:
            builder.heading(" ".join(paragraphs), level=1)
        elif role not in {"sldNum", "dt", "ftr", "hdr"}:
            for text in paragraphs:
                builder.line(text)


def _slide_text(paragraph: etree._Element) -> str:
    parts: list[str] = []
    for element in paragraph.iter("{*}t", "{*}br"):
        parts.append("\n" if local_name(element) == "br" else element.text or "")
    return "".join(parts)
