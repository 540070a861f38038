"""Excel (Office Open XML): one page for each sheet, a row on each line, values as the sheet shows them."""

import datetime
import io
import re
from collections.abc import Iterator

from lxml import etree

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.archive import Archive, attribute, local_name
from localassist.retrieval.parsers.builder import TextBuilder

_LETTERS = re.compile(r"[A-Z]{1,3}")
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_BUILT_IN_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_BUILT_IN_PERCENTS = frozenset({9, 10})
_MAX_COLUMNS = 16_384
_MAX_GAP = 64
"""Longer stretches of empty cells inside a row are shortened to so many."""
_EPOCH_1900 = datetime.datetime(1899, 12, 30, tzinfo=datetime.UTC)
_EPOCH_1904 = datetime.datetime(1904, 1, 1, tzinfo=datetime.UTC)


def parse(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read the sheets of a workbook in their order, each under its name; formulas as their last result.

    Raises:
        IngestionError: the file is damaged or passes a limit.
    """
    builder = TextBuilder(max_characters=max_characters)
    with Archive(data, file_name=file_name) as archive:
        main = next((p for k, p in archive.relations("").values() if k == "officeDocument"), "xl/workbook.xml")
        workbook = archive.xml(main)
        relations = archive.relations(main)
        parts = {kind: path for kind, path in relations.values() if path in archive}
        strings = _shared_strings(archive.xml(parts["sharedStrings"])) if "sharedStrings" in parts else []
        formats = _formats(archive.xml(parts["styles"])) if "styles" in parts else []
        is_1904 = any(attribute(p, "date1904") in {"1", "true"} for p in workbook.iter("{*}workbookPr"))
        values = _Values(strings, formats, _EPOCH_1904 if is_1904 else _EPOCH_1900)
        for sheet in workbook.iter("{*}sheet"):
            relation_id = next((str(v) for k, v in sheet.attrib.items() if str(k).endswith("}id")), "")
            kind, path = relations.get(relation_id, ("", ""))
            if kind != "worksheet" or path not in archive:
                continue
            builder.begin_page()
            builder.heading(attribute(sheet, "name") or "", level=1)
            name_end = builder.length
            for row in _rows(archive.read(path), path, file_name, values):
                builder.line(" | ".join(row))
            builder.end_page(empty=builder.length == name_end)
    return builder.build("xlsx")


class _Values:
    """Turns cells into what the sheet shows."""

    def __init__(self, strings: list[str], formats: list[str], epoch: datetime.datetime) -> None:
        self._strings = strings
        self._formats = formats
        self._epoch = epoch

    def show(self, cell: etree._Element) -> str:
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            return _flat("".join(t.text or "" for t in cell.iter("{*}t")))
        value = next((v.text or "" for v in cell if local_name(v) == "v"), "")
        match kind:
            case "s":
                index = int(value) if value.isdecimal() else -1
                return self._strings[index] if 0 <= index < len(self._strings) else ""
            case "b":
                return {"1": "TRUE", "0": "FALSE"}.get(value, value)
            case "n":
                return self._number(value, cell.get("s") or "0")
            case _:
                return _flat(value)

    def _number(self, value: str, style: str) -> str:
        index = int(style) if style.isdecimal() else 0
        shown_as = self._formats[index] if index < len(self._formats) else ""
        try:
            number = float(value)
        except ValueError:
            return value
        if shown_as == "date":
            return self._moment(number) or value
        if shown_as == "percent":
            return f"{number * 100:.10g}%"
        return f"{number:.15g}" if "." in value or "E" in value.upper() else value

    def _moment(self, days: float) -> str:
        try:
            moment = self._epoch + datetime.timedelta(seconds=round(days * 86_400))
        except OverflowError:
            return ""
        if 0 <= days < 1:
            return moment.strftime("%H:%M:%S")
        return moment.strftime("%Y-%m-%d" if days == int(days) else "%Y-%m-%d %H:%M:%S")


def _rows(data: bytes, part: str, file_name: str, values: _Values) -> Iterator[list[str]]:
    """Read rows one by one, and let each go, so that a big sheet needs little memory.

    Raises:
        IngestionError: the sheet is not well-formed.
    """
    events = etree.iterparse(
        io.BytesIO(data), events=("end",), tag="{*}row", resolve_entities=False, no_network=True, huge_tree=False
    )
    try:
        for _, row in events:
            cells: list[str] = []
            for cell in row:
                column = _column(cell.get("r") or "")
                gap = 0 if column is None else min(column - len(cells), _MAX_GAP)
                cells.extend([""] * max(gap, 0))
                cells.append(values.show(cell))
            while cells and not cells[-1]:
                cells.pop()
            yield cells
            row.clear()
            while row.getprevious() is not None:
                del row.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise IngestionError(
            f"The file {file_name!r} is damaged: {part!r} is not well-formed XML ({error})."
        ) from error


def _column(reference: str) -> int | None:
    """Give the column of a cell reference from 0: `A7` is 0, `AB7` is 27."""
    letters = _LETTERS.match(reference)
    if letters is None:
        return None
    number = 0
    for letter in letters[0]:
        number = number * 26 + ord(letter) - 64
    return min(number, _MAX_COLUMNS) - 1


def _shared_strings(root: etree._Element) -> list[str]:
    """Give the texts that cells refer to; the reading aid (`rPh`) of Japanese words is left out."""
    return [
        _flat("".join(t.text or "" for t in item.iter("{*}t") if local_name(_parent(t)) != "rPh"))
        for item in root
        if local_name(item) == "si"
    ]


def _parent(element: etree._Element) -> etree._Element:
    parent = element.getparent()
    return element if parent is None else parent


def _flat(text: str) -> str:
    return " ".join(text.split())


def _formats(styles: etree._Element) -> list[str]:
    """Give for each cell format `date`, `percent` or the empty string."""
    custom = {f.get("numFmtId") or "": f.get("formatCode") or "" for f in styles.iter("{*}numFmt")}
    shown: list[str] = []
    for formats in styles.iter("{*}cellXfs"):
        for entry in formats:
            shown.append(_shown_as(entry.get("numFmtId") or "0", custom))
    return shown


def _shown_as(format_id: str, custom: dict[str, str]) -> str:
    code = _QUOTED.sub("", custom.get(format_id, "")).lower()
    if code:
        if "%" in code:
            return "percent"
        return "date" if re.search(r"[ymdhs]", code.partition(";")[0].replace("general", "")) else ""
    number = int(format_id) if format_id.isdecimal() else 0
    if number in _BUILT_IN_DATES:
        return "date"
    return "percent" if number in _BUILT_IN_PERCENTS else ""
