"""An uploaded file, from the network to the disk: its size on the way is bounded, and so is the memory it takes."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from localassist.errors import BadRequestError, PayloadTooLargeError

_WRITE_BYTES: Final = 1024 * 1024
_MAX_FIELD_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 64
_MAX_HEADER_BYTES: Final = 16 * 1024
_MAX_BOUNDARY_BYTES: Final = 256
_DRAIN_S: Final = 10.0
_FIELDS: Final = {"file": "the fields 'file' and 'purpose'"}


@dataclass
class UploadForm:
    """A form: its plain fields, and its one file, which lies on the disk without a name."""

    spool: IO[bytes]
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None
    size: int = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes from its beginning."""
        await asyncio.to_thread(self.spool.seek, 0)
        while chunk := await asyncio.to_thread(self.spool.read, _WRITE_BYTES):
            yield chunk


@asynccontextmanager
async def upload_of(request: Request, *, folder: Path, max_bytes: int, name: str = "file") -> AsyncIterator[UploadForm]:
    """Read a form with one file, the field `name`; its bytes are gone when the block ends.

    The spool lies in `folder` rather than in the system's folder for temporary files, which often is memory.

    Raises:
        BadRequestError: the body is not such a form.
        PayloadTooLargeError: the file is larger than `max_bytes`.
    """
    boundary = _boundary(request, name)
    with tempfile.TemporaryFile(dir=folder) as spool:
        form = UploadForm(spool)
        await _receive(request, _Reader(form, boundary, max_bytes, name))
        if form.file_name is None:
            raise BadRequestError(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
        yield form


async def _receive(request: Request, reader: "_Reader") -> None:
    """Read the form. After an error the client may finish first: one that is still sending reads no answer."""
    refusal: BadRequestError | None = None
    give_up_at = float("inf")
    loop = asyncio.get_running_loop()
    async for chunk in request.stream():
        if refusal is None:
            try:
                reader.feed(chunk)
            except BadRequestError as error:
                refusal, give_up_at = error, loop.time() + _DRAIN_S
                reader.pending.clear()
        elif loop.time() > give_up_at:
            break
        if len(reader.pending) >= _WRITE_BYTES:
            await reader.write()
    if refusal is not None:
        raise refusal
    reader.finish()
    await reader.write()


def _boundary(request: Request, name: str) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise BadRequestError(
            f"The body must be a form (multipart/form-data) with {_FIELDS.get(name, f'the field {name!r}')}, "
            f"but its type is {request.headers.get('content-type', 'not given')!r}."
        )
    if len(options[b"boundary"]) > _MAX_BOUNDARY_BYTES:
        raise BadRequestError(f"The boundary of the form is longer than {_MAX_BOUNDARY_BYTES} bytes.")
    return options[b"boundary"]


def _too_large(max_bytes: int, name: str) -> PayloadTooLargeError:
    what = "file" if name == "file" else "part"
    return PayloadTooLargeError(
        f"The {what} is larger than {max_bytes:,} bytes, the most that one {what} may have.",
        param=name,
        code=f"{what}_above_max_size",
    )


class _Reader:
    """What the parser calls; collects a form."""

    def __init__(self, form: UploadForm, boundary: bytes, max_bytes: int, name: str) -> None:
        self.pending = bytearray()
        self._form = form
        self._max_bytes = max_bytes
        self._name = name
        self._n_parts = 0
        self._header_bytes = 0
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._take: Callable[[memoryview], None] = self._ignore
        self._field = ""
        self._value = bytearray()
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            callbacks={
                "on_part_begin": self._part_begin,
                "on_header_begin": self._header_begin,
                "on_header_field": lambda data, start, end: self._header_part(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._header_part(1, data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": lambda data, start, end: self._take(memoryview(data)[start:end]),
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise BadRequestError(f"The form could not be read: {error}") from error

    def finish(self) -> None:
        self._parser.finalize()
        if not self._ended:
            raise BadRequestError("The form breaks off before its end.")

    async def write(self) -> None:
        data, self.pending = self.pending, bytearray()
        await asyncio.to_thread(self._form.spool.write, data)

    def _part_begin(self) -> None:
        self._n_parts += 1
        if self._n_parts > _MAX_FIELDS:
            raise BadRequestError(f"The form has more than {_MAX_FIELDS} fields.")
        self._disposition = b""
        self._header_bytes = 0

    def _header_begin(self) -> None:
        self._header = (bytearray(), bytearray())

    def _header_part(self, which: int, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise BadRequestError("A field of the form has too long a header.")
        self._header[which].extend(data)

    def _header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if self._field == self._name and (b"filename" in options or self._name != "file"):
            if self._form.file_name is not None:
                raise BadRequestError("The form has more than one file.", param=self._name)
            self._form.file_name = safe_file_name(options.get(b"filename", b"").decode("utf-8", "replace"))
            self._take = self._take_file
        else:
            self._value = bytearray()
            self._take = self._take_field

    def _part_end(self) -> None:
        if self._take == self._take_field and self._field:
            self._form.fields[self._field] = self._value.decode("utf-8", "replace")
        self._take = self._ignore

    def _end(self) -> None:
        self._ended = True

    def _take_file(self, data: memoryview) -> None:
        self._form.size += len(data)
        if self._form.size > self._max_bytes:
            raise _too_large(self._max_bytes, self._name)
        self.pending.extend(data)

    def _take_field(self, data: memoryview) -> None:
        if len(self._value) + len(data) > _MAX_FIELD_BYTES:
            raise BadRequestError(f"'{self._field}' is longer than {_MAX_FIELD_BYTES:,} bytes.", param=self._field)
        self._value.extend(data)

    def _ignore(self, data: memoryview) -> None:
        """Pass over data outside of any part."""


def safe_file_name(name: str) -> str:
    """Give the last part of a client's file name, without control characters: a name, never a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(char for char in last if char.isprintable())
    return kept if kept.strip(". ") else "upload"
