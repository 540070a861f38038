"""What a parser process and its parent say to each other: length-prefixed frames of JSON and UTF-8.

A frame is 4 bytes length of the header, 8 bytes length of the body (both big-endian), the header as a JSON object,
and the body. Nothing that comes from a parser process is executed or unpickled, and every length and span is checked,
because a hostile file may have taken that process over.
"""

import struct
from collections.abc import Mapping
from typing import Any

import orjson

from localassist.errors import IngestionError
from localassist.retrieval.model import Document, Heading, Page

PREFIX = struct.Struct(">IQ")
MAX_HEADER_BYTES = 64 * 2**20


class FrameError(Exception):
    """A frame that no honest process would send."""


def pack(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Give the bytes of a frame."""
    packed = orjson.dumps(header)
    return PREFIX.pack(len(packed), len(body)) + packed + body


def unpack_prefix(prefix: bytes, *, max_body_bytes: int) -> tuple[int, int]:
    """Give the lengths of header and body.

    Raises:
        FrameError: a length is over its limit.
    """
    n_header, n_body = PREFIX.unpack(prefix)
    if n_header > MAX_HEADER_BYTES or n_body > max_body_bytes:
        raise FrameError(f"a frame of {n_header} and {n_body} bytes")
    return n_header, n_body


def unpack_header(header: bytes) -> dict[str, Any]:
    """Give the header of a frame.

    Raises:
        FrameError: it is not a JSON object.
    """
    try:
        found = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise FrameError("a header that is not JSON") from error
    if not isinstance(found, dict):
        raise FrameError("a header that is not an object")
    return found


def pack_document(document: Document, extra: Mapping[str, Any]) -> bytes:
    """Give the frame of a document that was read."""
    header = {
        "ok": True,
        "pages": [(p.number, p.start, p.end) for p in document.pages],
        "headings": [(h.level, h.start, h.end) for h in document.headings],
        "n_pages": document.n_pages,
        "n_empty_pages": document.n_empty_pages,
        "parser": document.parser,
        **extra,
    }
    return pack(header, document.text.encode("utf-8"))


def pack_error(error: IngestionError, extra: Mapping[str, Any]) -> bytes:
    """Give the frame of a file that could not be read."""
    return pack({"ok": False, "message": error.message, "code": error.code, **extra})


def unpack_document(header: Mapping[str, Any], body: bytes) -> Document:
    """Give the document of a frame, or raise the error in it.

    Raises:
        IngestionError: the error that the parser process reported.
        FrameError: the frame does not hold what it should.
    """
    if header.get("ok") is not True:
        code, message = header.get("code"), header.get("message")
        if code not in {"server_error", "unsupported_file", "invalid_file"} or not isinstance(message, str):
            raise FrameError("an error without code or message")
        raise IngestionError(message, code=code)
    try:
        text = body.decode("utf-8")
        pages = tuple(Page(*_span(entry, len(text))) for entry in header["pages"])
        headings = tuple(Heading(*_span(entry, len(text))) for entry in header["headings"])
        counts = (header["n_pages"], header["n_empty_pages"])
        parser = header["parser"]
    except (KeyError, TypeError, ValueError) as error:
        raise FrameError("a document that cannot be read") from error
    if not isinstance(parser, str) or not all(isinstance(n, int) and n >= 0 for n in counts) or "\x00" in text:
        raise FrameError("a document with wrong fields")
    return Document(text, pages, headings, counts[0], counts[1], parser)


def _span(entry: Any, n_characters: int) -> tuple[int, int, int]:
    number, start, end = entry
    if not all(type(value) is int for value in (number, start, end)) or not 0 <= start <= end <= n_characters:
        raise ValueError("a span outside of the text")
    return number, start, end
