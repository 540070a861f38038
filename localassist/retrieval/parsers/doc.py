"""Word 97 to 2003 (.doc): the text by way of its piece table.

Source:
    Microsoft, [MS-DOC] Word (.doc) Binary File Format, sections 2.4.1 (retrieving text), 2.5 (Fib), 2.8.35 (PlcPcd),
    2.9.73 (FcCompressed), 2.9.177 (Pcd); https://learn.microsoft.com/openspecs/office_file_formats/ms-doc
"""

import io
import re
import struct
from collections.abc import Iterator

import olefile

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder

_WORD_MAGIC = 0xA5EC
_FIRST_WORD_97 = 0x00C1
_FLAGS_AT = 0x0A
_ENCRYPTED = 0x0100
_TABLE_1 = 0x0200
_LENGTHS_AT = 0x4C
"""Characters of the main text, footnotes, headers, (unused), comments, endnotes, text boxes, boxes in headers."""
_CLX_AT = 0x01A2
_MAX_STREAM_BYTES = 256 * 2**20

_FIELD_MARK = re.compile("([\x13\x14\x15])")
"""A field is its mark of beginning, its instruction, a separator, its result, and its mark of end."""
_CHARACTERS = str.maketrans({
    "\x0b": "\n", "\x0c": "\n\n", "\x0d": "\n", "\x0e": "\n", "\x1e": "\u2011",
    **dict.fromkeys("\x00\x01\x02\x03\x04\x05\x06\x08\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1f", ""),
})  # fmt: skip


def parse(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read the text of a Word 97 to 2003 document: body, footnotes, endnotes, text boxes; fields as their result.

    Raises:
        IngestionError: the document is damaged, protected, older than Word 97, or too long.
    """
    try:
        main, notes = _texts(data, file_name)
    except (OSError, struct.error, IndexError, ValueError) as error:
        raise IngestionError(
            f"The Word file {file_name!r} is damaged ({error}). Open it in a word processor and save it as .docx."
        ) from error
    builder = TextBuilder(max_characters=max_characters)
    _write(main, builder)
    for note in notes:
        builder.blank_line()
        _write(note, builder)
    return builder.build("doc")


def _texts(data: bytes, file_name: str) -> tuple[str, list[str]]:
    with olefile.OleFileIO(io.BytesIO(data)) as container:
        stream = _stream(container, "WordDocument")
        magic, version = struct.unpack_from("<HH", stream, 0)
        (flags,) = struct.unpack_from("<H", stream, _FLAGS_AT)
        if magic != _WORD_MAGIC or version < _FIRST_WORD_97:
            raise IngestionError(f"The file {file_name!r} is older than Word 97 (or not Word). Save it as .docx.")
        if flags & _ENCRYPTED:
            raise IngestionError(
                f"The file {file_name!r} is protected by a password. Remove the password and try again."
            )
        table = _stream(container, "1Table" if flags & _TABLE_1 else "0Table")
    n_main, n_footnotes, n_headers, _, n_comments, n_endnotes, n_boxes, _ = struct.unpack_from(
        "<8i", stream, _LENGTHS_AT
    )
    if min(n_main, n_footnotes, n_headers, n_comments, n_endnotes, n_boxes) < 0:
        raise ValueError("a part of negative length")
    at_clx, n_clx = struct.unpack_from("<II", stream, _CLX_AT)
    text = "".join(_pieces(stream, _piece_table(table[at_clx : at_clx + n_clx])))
    footnotes_end = n_main + n_footnotes
    endnotes_at = footnotes_end + n_headers + n_comments
    endnotes_end = endnotes_at + n_endnotes
    notes = [text[n_main:footnotes_end], text[endnotes_at:endnotes_end], text[endnotes_end : endnotes_end + n_boxes]]
    return text[:n_main], notes


def _stream(container: olefile.OleFileIO, name: str) -> bytes:
    if not container.exists(name):
        raise ValueError(f"its stream {name!r} is missing")
    content = container.openstream(name).read(_MAX_STREAM_BYTES)
    return bytes(content)


def _piece_table(clx: bytes) -> bytes:
    """Give the PlcPcd of a Clx, behind any number of property blocks (Prc).

    Raises:
        ValueError: the structure is broken.
    """
    at = 0
    while clx[at] == 0x01:
        (n_bytes,) = struct.unpack_from("<h", clx, at + 1)
        if n_bytes < 0:
            raise ValueError("a property block of negative length")
        at += 3 + n_bytes
    if clx[at] != 0x02:
        raise ValueError("no piece table")
    (n_bytes,) = struct.unpack_from("<I", clx, at + 1)
    return clx[at + 5 : at + 5 + n_bytes]


def _pieces(stream: bytes, table: bytes) -> Iterator[str]:
    """Give the text of each piece, in character positions that are UTF-16 code units.

    A compressed piece holds one byte a character, in Windows-1252.

    Raises:
        ValueError: the pieces overlap.
    """
    n_pieces = (len(table) - 4) // 12
    positions = struct.unpack_from(f"<{n_pieces + 1}I", table, 0)
    for i in range(n_pieces):
        n_characters = positions[i + 1] - positions[i]
        if n_characters < 0:
            raise ValueError("its pieces are out of order")
        (place,) = struct.unpack_from("<I", table, 4 * (n_pieces + 1) + 8 * i + 2)
        if place & 0x40000000:
            start = (place & 0x3FFFFFFF) // 2
            yield stream[start : start + n_characters].decode("cp1252", "replace")
        else:
            start = place & 0x3FFFFFFF
            # Surrogate pairs stay two characters here, so that positions keep counting; the builder joins them.
            units = stream[start : start + 2 * n_characters]
            yield "".join(map(chr, struct.unpack(f"<{len(units) // 2}H", units[: len(units) & ~1])))


def _write(text: str, builder: TextBuilder) -> None:
    for line in _lines(_with_field_results(text)):
        builder.line(line)


def _with_field_results(text: str) -> str:
    """Leave out the instructions of fields, which may lie inside each other."""
    shown: list[str] = []
    in_result: list[bool] = []
    for part in _FIELD_MARK.split(text):
        if part == "\x13":
            in_result.append(False)
        elif part == "\x14" and in_result:
            in_result[-1] = True
        elif part == "\x15" and in_result:
            in_result.pop()
        elif all(in_result):
            shown.append(part)
    return "".join(shown)


def _lines(text: str) -> Iterator[str]:
    """Give paragraphs and table rows.

    Every cell ends with U+0007, and so does every row: an empty cell behind a cell is the end of the row.
    """
    row: list[str] = []
    for part in re.findall("[^\x07]*\x07|[^\x07]+", text):
        if not part.endswith("\x07"):
            if row:
                yield " | ".join(row)
                row = []
            yield from part.translate(_CHARACTERS).split("\n")
            continue
        content = part[:-1]
        if not content and row:
            yield " | ".join(row)
            row = []
            continue
        if not row:  # the paragraphs before the first cell of a table stand outside of it
            *before, content = content.split("\x0d")
            for paragraph in before:
                yield from paragraph.translate(_CHARACTERS).split("\n")
        row.append(" ".join(content.translate(_CHARACTERS).split()))
    if row:
        yield " | ".join(row)
