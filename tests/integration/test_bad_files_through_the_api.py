"""Bad files and garbage through the API: each ends in a clear answer, nothing is lost, and the server goes on."""

import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pypdf
import pytest

from tests.integration.serving import Served, until
from tests.integration.test_hostile_files import docx, paragraph
from tests.integration.whole_product import DOCUMENTS

PDF = (DOCUMENTS / "harbour-works-handbook.pdf").read_bytes()
SURROGATE = "\\ud800"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("home") / "home", "http://127.0.0.1:9/v1") as served:
        yield served
        assert served.is_running
        assert " ERROR localassist" not in served.log


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with served.client() as client:
        yield client


@pytest.fixture(scope="module")
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{served.url}/v1", timeout=60) as http:
        yield http


@pytest.fixture(scope="module")
def store_id(client: openai.OpenAI) -> str:
    return client.vector_stores.create().id


def pdf(*, n_blank: int = 0, password: str | None = None, real: bool = False) -> bytes:
    writer, written = pypdf.PdfWriter(), io.BytesIO()
    for _ in range(n_blank):
        writer.add_blank_page(200, 200)
    if real:
        writer.append(io.BytesIO(PDF))
    if password is not None:
        writer.encrypt(password)
    writer.write(written)
    return written.getvalue()


def uploaded(client: openai.OpenAI, name: str, content: bytes) -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


def indexed(client: openai.OpenAI, store_id: str, file_id: str, *, within_s: float = 60.0) -> Any:
    def asked() -> Any:
        entry = client.vector_stores.files.retrieve(file_id, vector_store_id=store_id)
        return entry if entry.status != "in_progress" else None

    return until(asked, what=f"{file_id} is indexed", within_s=within_s)


def added(client: openai.OpenAI, store_id: str, name: str, content: bytes) -> Any:
    file_id = uploaded(client, name, content)
    client.vector_stores.files.create(store_id, file_id=file_id)
    return indexed(client, store_id, file_id)


# ---- files


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.txt", b"", "is empty (0 bytes)"),
        ("noise.pdf", bytes(range(256)) * 50, "is not a PDF file"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "looks like a PNG image"),
        ("locked.pdf", pdf(real=True, password="secret"), "protected by a password"),
        ("cut.pdf", PDF[: len(PDF) // 2], "is truncated"),
        ("scan.pdf", pdf(n_blank=3), "3 of its 3 pages are empty"),
        ("bomb.docx", docx(paragraph(" " * 60_000_000)), "ZIP bomb"),
        ("blank.txt", b" " * 1_000_000, "no visible text (1,000,000 bytes)"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)
def test_a_file_that_cannot_be_read_says_why_and_is_still_there(
    client: openai.OpenAI, store_id: str, name: str, content: bytes, words: str
) -> None:
    entry = added(client, store_id, name, content)

    assert (entry.status, entry.last_error.code, entry.usage_bytes) == ("failed", "invalid_file", 0)
    assert name in entry.last_error.message
    assert words in entry.last_error.message
    assert client.files.content(entry.id).content == content


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("in-fact-a-pdf.docx", PDF, "crane"),
        ("nul.txt", b"the zqnul\0turns\0" * 10, "zqnul"),
        ("half.txt", b"\xed\xa0\x80 the zqhalf \xed\xb0\x80", "zqhalf"),
        ("escaped.json", b'{"zqescaped": "\\ud800"}', "zqescaped"),
        ("entities.html", b"<p>&#xD800; zqentity &#0;</p>", "zqentity"),
        ("wide.txt", "the zqwide 😀".encode("utf-16"), "zqwide"),
        ("unbroken.txt", b"zqunbroken " + b"abcdefghij" * 300, "zqunbroken"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_strange_file_is_read_and_found(
    client: openai.OpenAI, store_id: str, name: str, content: bytes, found: str
) -> None:
    entry = added(client, store_id, name, content)

    assert (entry.status, entry.last_error) == ("completed", None)
    hits = client.vector_stores.search(store_id, query=found).data
    assert entry.id in {hit.file_id for hit in hits}
    assert "\0" not in json.dumps([hit.to_dict() for hit in hits])


def test_a_pdf_with_scanned_pages_counts_them(client: openai.OpenAI, store_id: str) -> None:
    entry = added(client, store_id, "half-scanned.pdf", pdf(n_blank=3, real=True))

    assert entry.status == "completed"
    assert (entry.report["pages"], entry.report["empty_pages"]) == (9, 3)


def test_the_same_file_again_reuses_its_vectors(client: openai.OpenAI) -> None:
    store_id = client.vector_stores.create().id
    content = b"# Once\n\nThe zqonce is embedded once."

    first, second = added(client, store_id, "a.md", content), added(client, store_id, "b.md", content)

    assert (first.report["reused_vectors"], second.report["reused_vectors"]) == (False, True)
    assert len(client.vector_stores.search(store_id, query="zqonce").data) >= 1


def test_an_unsupported_type_is_refused_by_name(client: openai.OpenAI, store_id: str) -> None:
    file_id = uploaded(client, "program.exe", b"MZ")

    with pytest.raises(openai.BadRequestError, match=r"\[\.exe\] are not supported"):
        client.vector_stores.files.create(store_id, file_id=file_id)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("..\\..\\boot.txt", "boot.txt"),
        ("x" * 300 + ".txt", "x" * 300 + ".txt"),
        ("文件 🙂.txt", "文件 🙂.txt"),
        ("שלום.txt", "שלום.txt"),
        ("\u202etxt.exe\u202c.txt", "txt.exe.txt"),
        ("it's.txt", "it's.txt"),
    ],
)
def test_a_file_keeps_the_printable_part_of_its_name(
    client: openai.OpenAI, store_id: str, name: str, kept: str
) -> None:
    entry = added(client, store_id, name, b"the tide turns")

    assert entry.status == "completed"
    assert client.files.retrieve(entry.id).filename == kept


def test_a_name_that_no_sdk_would_send_is_made_safe(http: httpx.Client) -> None:
    for name, kept in ((b"a\nb.txt", "ab.txt"), (b"\xff\xfe.txt", "��.txt"), (b"\xed\xa0\x80.txt", "���.txt")):
        body = b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        body += b'--B\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\nx\r\n--B--\r\n'
        answer = http.post("/files", content=body, headers={"content-type": "multipart/form-data; boundary=B"})
        assert answer.status_code in {200, 400}
        if answer.status_code == 200:
            assert answer.json()["filename"] == kept


def test_two_hundred_files_in_one_batch_are_all_indexed(client: openai.OpenAI) -> None:
    store_id = client.vector_stores.create().id
    files = [uploaded(client, f"{n}.txt", f"The tide zq{n}x turns at {n}.".encode()) for n in range(200)]

    batch = client.vector_stores.file_batches.create_and_poll(store_id, file_ids=files, poll_interval_ms=100)

    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 200, 200)
    assert client.vector_stores.search(store_id, query="zq137x").data[0].file_id == files[137]


def test_what_is_deleted_while_it_is_indexed_stays_deleted(client: openai.OpenAI) -> None:
    text = "\n\n".join(f"Paragraph {n}: the zqgone tide turns {n * 7 % 61} minutes past noon." for n in range(400))
    kept, gone = client.vector_stores.create().id, client.vector_stores.create().id
    deleted = uploaded(client, "deleted.md", text.encode())
    other = uploaded(client, "other.md", b"The zqother tide.")
    client.vector_stores.file_batches.create(gone, file_ids=[deleted, other])
    client.vector_stores.file_batches.create(kept, file_ids=[deleted, other])

    client.vector_stores.delete(gone)
    client.files.delete(deleted)

    assert indexed(client, kept, other).status == "completed"
    assert [f.id for f in client.vector_stores.files.list(kept)] == [other]
    assert {hit.file_id for hit in client.vector_stores.search(kept, query="zqgone tide").data} <= {other}
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search(gone, query="tide")
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(deleted, vector_store_id=kept)


def test_a_file_that_is_too_large_is_refused_and_takes_no_memory(tmp_path: Path) -> None:
    megabyte = b"0123456789abcdef" * 65_536

    def body() -> Iterator[bytes]:
        yield b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        yield b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(120):
            yield megabyte
        yield b"\r\n--B--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=B"}
    with Served(tmp_path / "home", "http://127.0.0.1:9/v1", max_file_bytes=100 * 2**20) as served:
        with served.client() as client:  # the model that embeds is loaded by then
            assert added(client, client.vector_stores.create().id, "a.txt", b"the tide").status == "completed"
        before = peak_memory(served)
        answer = httpx.post(f"{served.url}/v1/files", content=body(), headers=headers, timeout=60)

        assert answer.status_code == 413
        assert answer.json()["error"]["message"].startswith("The file is larger than 104,857,600 bytes")
        assert peak_memory(served) - before < 60 * 2**20
        assert list((tmp_path / "home").rglob("*unfinished/*")) == []
        with served.client() as client:
            assert len(client.files.list().data) == 1


def peak_memory(served: Served) -> int:
    status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(("VmHWM", "VmRSS")))
    return int(line.split()[1]) * 1024


# ---- garbage


@pytest.fixture(scope="module")
def paths(client: openai.OpenAI, store_id: str) -> dict[str, dict[str, Any]]:
    """Every path that takes JSON, with a body that it takes."""
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "x"}])
    message = client.beta.threads.messages.list(thread.id).data[0]
    file_id = uploaded(client, "a.txt", b"the tide")
    inside, store = f"/threads/{thread.id}", f"/vector_stores/{store_id}"
    return {
        "/assistants": {"model": "m"},
        f"/assistants/{assistant.id}": {},
        "/threads": {},
        inside: {},
        f"{inside}/messages": {"role": "user", "content": "x"},
        f"{inside}/messages/{message.id}": {},
        f"{inside}/runs": {"assistant_id": assistant.id},
        "/threads/runs": {"assistant_id": assistant.id},
        f"{inside}/runs/run_x": {},
        f"{inside}/runs/run_x/submit_tool_outputs": {"tool_outputs": []},
        "/vector_stores": {},
        store: {},
        f"{store}/files": {"file_id": file_id},
        f"{store}/files/{file_id}": {"attributes": {}},
        f"{store}/file_batches": {"file_ids": [file_id]},
        f"{store}/search": {"query": "tide"},
    }


FIELDS = re.findall(
    r"\w+",
    """additional_instructions additional_messages assistant_id attachments attributes chunking_strategy content
    description expires_after file_id file_ids files filters instructions max_completion_tokens max_num_results
    max_prompt_tokens messages metadata model name parallel_tool_calls query ranking_options reasoning_effort
    response_format rewrite_query role stream temperature thread tool_choice tool_outputs tool_resources tools top_p
    truncation_strategy""",
)
WRONG: list[Any] = [
    -1,
    1e308,
    10**30,
    "",
    [None],
    [{}],
    {"x": None},
    {"type": "x"},
    {"a" * 600: "b"},
    [{"type": "function", "function": {}}],
    {"type": "static", "static": {"max_chunk_size_tokens": 10**12, "chunk_overlap_tokens": -1}},
    {"type": "eq", "key": "a", "value": 10**30},
    {"anchor": "last_active_at", "days": 10**12},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: json.dumps(value)[:40])
def test_wrong_types_are_refused_or_taken_but_no_fault(
    http: httpx.Client, paths: dict[str, dict[str, Any]], wrong: Any
) -> None:
    for path, body in paths.items():
        for name in FIELDS:
            answer = http.post(path, content=json.dumps(body | {name: wrong}))
            assert_no_fault(answer, name)


@pytest.mark.parametrize(
    "garbage",
    [
        b"{",
        b"[]",
        b"1",
        b"\xff\xfe",
        b'{"metadata": {"a": "\xff"}}',
        b'{"metadata": {"a": "\\ud800"}, "content": "\\udfff", "role": "user", "query": "\\ud800", "name": "\\ud800"}',
        b'{"metadata": {"a": "\\u0000"}, "content": "\\u0000", "role": "user", "query": "\\u0000"}',
        b"[" * 100_000,
        b'{"metadata": ' * 500 + b"{}" + b"}" * 500,
        b'{"model": "m", "tools": [{"type": "function", "function": {"name": "f", "parameters": '
        + b'{"a": ' * 300
        + b"1"
        + b"}" * 300
        + b"}}]}",
        b'{"a": NaN}',
        b"{" + b'"k": 1, ' * 100_000 + b'"z": 1}',
    ],
    ids=lambda value: ascii(value[:30]),
)
def test_garbage_in_place_of_json_is_refused(
    http: httpx.Client, paths: dict[str, dict[str, Any]], garbage: bytes
) -> None:
    for path in paths:
        answer = http.post(path, content=garbage)
        assert_no_fault(answer, path)
        assert answer.status_code >= 400


def test_a_huge_body_is_refused(http: httpx.Client) -> None:
    huge = b'{"model": "' + b"x" * (40 << 20) + b'"}'

    assert http.post("/assistants", content=huge).status_code == 413
    assert http.post("/assistants", content=iter([huge])).status_code == 413


PURPOSE = b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
FILE = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntide\r\n'
END = b"--B--\r\n"


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"garbage",
        END,
        PURPOSE,
        PURPOSE + FILE,
        FILE + END,
        PURPOSE + END,
        PURPOSE + FILE + FILE + END,
        PURPOSE + b"--B\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx\r\n" + END,
        PURPOSE.replace(b"assistants", b"\xff\xfe") + FILE + END,
        PURPOSE.replace(b"assistants", b"a\0b") + FILE + END,
        PURPOSE * 100 + FILE + END,
    ],
    ids=range(12),
)
def test_a_broken_form_is_refused(http: httpx.Client, form: bytes) -> None:
    answer = http.post("/files", content=form, headers={"content-type": "multipart/form-data; boundary=B"})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "x" * 5000])
def test_a_form_without_a_proper_boundary_is_refused(http: httpx.Client, boundary: str) -> None:
    answer = http.post(
        "/files", content=PURPOSE + FILE + END, headers={"content-type": f"multipart/form-data{boundary}"}
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "query",
    ["limit=abc", "limit=-1", "limit=99999999999999999999", "order=x", "after=%00", "before=%ff", "filter=zz"],
)
def test_wrong_queries_are_refused_or_ignored_but_no_fault(
    http: httpx.Client, paths: dict[str, dict[str, Any]], query: str
) -> None:
    for path in [*paths, "/files"]:
        assert_no_fault(http.get(f"{path}?{query}"), query)


@pytest.mark.parametrize("part", ["%00", "%ff", "..%2f..%2fetc%2fpasswd", "x" * 20_000])
def test_wrong_ids_are_not_found(http: httpx.Client, part: str) -> None:
    for path in ("/assistants/", "/threads/", "/files/", "/vector_stores/"):
        for tail in ("", "/content", "/messages", "/files"):
            for method in ("GET", "POST", "DELETE", "PUT"):
                assert_no_fault(http.request(method, f"{path}{part}{tail}"), path)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20,
        b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: abc\r\n\r\n",
        b"POST /v1/assistants HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n{}",
        b"POST /v1/assistants HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=range(6),
)
def test_what_is_no_http_is_refused(served: Served, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=10) as wire:
        wire.sendall(request_bytes)
        assert wire.recv(100).startswith(b"HTTP/1.1 400")


def test_a_body_shorter_than_promised_leaves_nothing_behind(served: Served, client: openai.OpenAI) -> None:
    before = {file.id for file in client.files.list()}
    head = b"POST /v1/files HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), timeout=10) as wire:
        wire.sendall(head + b"Content-Length: 9000\r\n\r\n" + PURPOSE + FILE)

    assert {file.id for file in client.files.list()} == before


def assert_no_fault(answer: httpx.Response, what: str) -> None:
    assert answer.status_code < 500, f"{answer.request.method} {answer.request.url} {what}: {answer.text}"
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]
