from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from localassist.errors import BadRequestError, PayloadTooLargeError
from localassist.server.multipart import safe_file_name, upload_of

BOUNDARY = "b0undary"


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
        for head, data in parts
    )
    return body + f"--{BOUNDARY}--\r\n".encode()


def posted(
    body: bytes, *, piece: int = 1000, content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
) -> Request:
    pieces = [body[n : n + piece] for n in range(0, len(body), piece)] or [b""]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}, receive)


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


FILE = 'name="file"; filename="a.txt"'
PURPOSE = ('name="purpose"', b"assistants")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.one_of(st.binary(max_size=3000), st.text("\r\n-b0undary", max_size=400).map(str.encode)),
    piece=st.integers(1, 700),
    file_first=st.booleans(),
)
async def test_a_file_arrives_as_it_was_however_it_was_cut(
    tmp_path: Path, data: bytes, piece: int, file_first: bool
) -> None:
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + data:
        return  # a client chooses a boundary that its file does not hold
    parts = [(FILE, data), PURPOSE] if file_first else [PURPOSE, (FILE, data)]

    async with upload_of(posted(form(*parts), piece=piece), folder=tmp_path, max_bytes=10_000) as upload:
        assert await whole(upload.chunks()) == data
        assert (upload.file_name, upload.size, upload.fields) == ("a.txt", len(data), {"purpose": "assistants"})


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_file_above_the_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLargeError) as caught:
        async with upload_of(posted(form(PURPOSE, (FILE, b"x" * 101))), folder=tmp_path, max_bytes=100):
            pass

    assert (caught.value.status, caught.value.param) == (413, "file")
    assert left_in(tmp_path) == []


async def test_a_file_at_the_limit_is_taken(tmp_path: Path) -> None:
    async with upload_of(posted(form(PURPOSE, (FILE, b"x" * 100))), folder=tmp_path, max_bytes=100) as upload:
        assert upload.size == 100


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (posted(form(PURPOSE)), "Missing required parameter: 'file'."),
        (posted(b"{}", content_type="application/json"), "must be a form"),
        (posted(b"", content_type="multipart/form-data"), "must be a form"),
        (posted(form(PURPOSE, (FILE, b"x"))[:-20]), "breaks off"),
        (posted(b"no form at all"), "could not be read"),
        (posted(form((FILE, b"1"), (FILE, b"2"))), "more than one file"),
        (posted(form(*[(f'name="f{n}"', b"") for n in range(70)], (FILE, b"2"))), "more than 64 fields"),
        (posted(form(('name="purpose"', b"x" * 70_000), (FILE, b"2"))), "longer than"),
    ],
)
async def test_a_body_that_is_no_such_form_is_refused(tmp_path: Path, request_: Request, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        async with upload_of(request_, folder=tmp_path, max_bytes=10_000):
            pass


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\報告.docx", "報告.docx"),
        ("a\r\nb\0.txt", "ab.txt"),
        ("..", "upload"),
        ("", "upload"),
    ],
)
def test_a_file_name_is_a_name_and_never_a_path(given_: str, kept: str) -> None:
    assert safe_file_name(given_) == kept
