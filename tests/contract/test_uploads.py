"""Files sent in parts, through the SDK."""

import hashlib
import io
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from tests.contract.test_errors import refused

KB = 1024


def test_the_sdk_sends_a_file_in_parts(client: OpenAI, tmp_path: Path) -> None:
    data = bytes(range(256)) * KB
    path = tmp_path / "long.txt"
    path.write_bytes(data)

    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/plain", purpose="assistants", part_size=100 * KB, md5=hashlib.md5(data).hexdigest()
    )

    assert (done.status, done.bytes, done.filename) == ("completed", len(data), "long.txt")
    assert done.file is not None
    assert client.files.content(done.file.id).read() == data
    assert client.files.retrieve(done.file.id).created_at == done.created_at


def test_an_upload_is_made_filled_and_cancelled(client: OpenAI) -> None:
    upload = client.uploads.create(filename="a.txt", purpose="assistants", bytes=3, mime_type="text/plain")
    part = client.uploads.parts.create(upload.id, data=io.BytesIO(b"abc"))
    gone = client.uploads.cancel(upload.id)
    body = refused(openai.BadRequestError, client.uploads.complete, upload.id, part_ids=[part.id])

    assert (upload.object, upload.status, upload.expires_at - upload.created_at) == ("upload", "pending", 3600)
    assert (part.object, part.upload_id) == ("upload.part", upload.id)
    assert gone.status == "cancelled"
    assert body["message"] == "Cannot complete upload with status 'cancelled'."


def test_what_is_wrong_with_an_upload_is_said(client: OpenAI) -> None:
    def create(**fields: object) -> dict[str, object]:
        given = {"filename": "a", "purpose": "vision", "bytes": 1, "mime_type": "a/b", **fields}
        return refused(openai.BadRequestError, client.post, "/uploads", cast_to=object, body=given)

    assert (create(bytes=8 * KB**3 + 1)["code"], create(bytes=-1)["code"]) == (
        "integer_above_max_value",
        "integer_below_min_value",
    )
    assert create(purpose="x")["param"] == "purpose"
    assert create(colour="red")["code"] == "unknown_parameter"
    with pytest.raises(openai.NotFoundError, match="No upload found with id 'upload_none'"):
        client.uploads.parts.create("upload_none", data=b"a")
    upload = client.uploads.create(filename="a", purpose="vision", bytes=1, mime_type="image/png")
    body = refused(
        openai.BadRequestError,
        client.post,
        f"/uploads/{upload.id}/parts",
        cast_to=object,
        files={"file": b"a"},
        options={"headers": {"Content-Type": "multipart/form-data"}},
    )
    assert (body["param"], body["code"]) == ("data", "missing_required_parameter")


def test_a_part_may_have_64_megabytes_and_no_more(client: OpenAI) -> None:
    size = 64 * KB * KB
    upload = client.uploads.create(filename="a", purpose="batch", bytes=size, mime_type="a/b")

    with pytest.raises(openai.APIStatusError, match="larger than 67,108,864 bytes") as caught:
        client.uploads.parts.create(upload.id, data=b"x" * (size + 1))

    assert caught.value.status_code == 413
    client.uploads.cancel(upload.id)
