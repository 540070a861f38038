import gc
import io
import os
import signal
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pypdf
import pytest

from localassist.errors import IngestionError
from localassist.retrieval.model import Document, DocumentParser, Page
from localassist.retrieval.parse import MAX_FILES_PER_WORKER, SUPPORTED_EXTENSIONS, ProcessParser
from localassist.retrieval.parsers import frames

EXAMPLES = Path(__file__).parents[3] / "examples" / "documents"
HANDBOOK = EXAMPLES / "harbour-works-handbook.pdf"


@pytest.fixture(scope="module")
def parser() -> Iterator[DocumentParser]:
    with ProcessParser(timeout_s=30.0) as parser:
        yield parser


@pytest.fixture
def refusal(parser: DocumentParser, tmp_path: Path):
    def refusal(data: bytes, file_name: str) -> IngestionError:
        path = tmp_path / "stored"
        path.write_bytes(data)
        with pytest.raises(IngestionError) as caught:
            parser.parse(path, file_name=file_name)
        return caught.value

    return refusal


def pdf_of(n_pages: int, *, password: str | None = None) -> bytes:
    writer = pypdf.PdfWriter()
    for _ in range(n_pages):
        writer.add_blank_page(width=200, height=200)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_every_type_of_the_api_is_supported() -> None:
    documented = ".c .cpp .cs .css .doc .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh .tex .ts .txt"

    assert {*documented.split(), ".csv", ".xlsx", ".epub", ".jsonl"} <= SUPPORTED_EXTENSIONS


@pytest.mark.parametrize("extension", [".py", ".json", ".csv", ".tex", ".TS", ".jsonl"])
def test_source_code_and_data_are_kept_as_they_are(parser: DocumentParser, tmp_path: Path, extension: str) -> None:
    (tmp_path / "stored").write_text('{"naïve": [1,\t2]}  # 漢字\n    indented', encoding="utf-8")

    document = parser.parse(tmp_path / "stored", file_name=f"x{extension}")

    assert document == Document('{"naïve": [1,\t2]}  # 漢字\n    indented')


def test_a_pdf_has_pages_that_quote_it(parser: DocumentParser) -> None:
    document = parser.parse(HANDBOOK, file_name="handbook.pdf")

    assert (document.n_pages, document.n_empty_pages, document.parser) == (6, 0, "pdf (pypdfium2)")
    pages = [document.text[p.start : p.end] for p in document.pages]
    assert pages[1].startswith("Working time\nThe regular week has 36 hours.")
    assert "stays for 60 minutes" in pages[4]
    assert "\n\n".join(pages) == document.text
    assert "".join(pages).isprintable() is False  # it has line ends,
    assert all(c.isprintable() or c == "\n" for c in document.text)  # and no other control characters


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda p: p.name)
def test_the_documents_of_the_demonstration_can_be_read(parser: DocumentParser, path: Path) -> None:
    document = parser.parse(path, file_name=path.name)

    assert len(document.text) > 800
    assert "\ufffd" not in document.text


def test_an_empty_file_is_named_as_empty(refusal) -> None:
    error = refusal(b"", "notes.txt")

    assert (error.code, error.message) == (
        "invalid_file",
        "The file 'notes.txt' is empty (0 bytes). Choose a file with text in it.",
    )


@pytest.mark.parametrize("file_name", ["photo.png", "noextension", "archive.tar.gz", "x.exe"])
def test_an_unknown_ending_is_unsupported_and_the_known_ones_are_listed(refusal, file_name: str) -> None:
    error = refusal(b"text", file_name)

    assert error.code == "unsupported_file"
    assert ".docx" in error.message
    assert repr(file_name) in error.message


@pytest.mark.parametrize("file_name", ["handbook.txt", "handbook.docx", "handbook.md"])
def test_a_pdf_is_read_as_a_pdf_whatever_it_is_called(parser: DocumentParser, file_name: str) -> None:
    document = parser.parse(HANDBOOK, file_name=file_name)

    assert (document.n_pages, document.parser) == (6, "pdf (pypdfium2), by content")


def test_a_text_called_pdf_is_read_as_text(parser: DocumentParser, tmp_path: Path) -> None:
    (tmp_path / "stored").write_text("<!DOCTYPE html><p>Hello</p>", encoding="utf-8")

    assert parser.parse(tmp_path / "stored", file_name="page.pdf").text == "Hello"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "a PNG image"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 50, "a JPEG image"),
        (b"\x7fELF\x02\x01", "a Linux program"),
        (b"{\\rtf1 hello}", "an RTF document"),
    ],
)
def test_what_is_no_document_is_named_for_what_it_is(refusal, data: bytes, what: str) -> None:
    error = refusal(data, "notes.txt")

    assert error.code == "invalid_file"
    assert f"looks like {what}" in error.message


def test_a_zip_archive_called_txt_is_named_for_what_it_is(refusal) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "hello")

    assert "looks like a ZIP archive" in refusal(buffer.getvalue(), "a.txt").message


def test_binary_bytes_called_pdf_are_not_a_pdf(refusal) -> None:
    assert "is not a PDF file" in refusal(b"\x00\x01\x02" * 100, "x.pdf").message


def test_a_pdf_without_pages_is_not_called_a_scan(refusal) -> None:
    error = refusal(pdf_of(0), "nothing.pdf")

    assert error.message == "The PDF 'nothing.pdf' has no pages. Choose a file with text in it."


def test_a_scan_is_told_its_pages(refusal) -> None:
    error = refusal(pdf_of(12), "scan.pdf")

    assert error.code == "invalid_file"
    assert "12 of its 12 pages are empty" in error.message
    assert "OCR" in error.message


def test_a_protected_pdf_is_named_as_protected(refusal) -> None:
    assert "protected by a password" in refusal(pdf_of(1, password="secret"), "x.pdf").message


def test_a_pdf_that_anyone_may_open_is_read_although_it_is_encrypted(parser: DocumentParser, tmp_path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=HANDBOOK)
    writer.encrypt("", owner_password="owner", algorithm="RC4-128")
    writer.write(tmp_path / "stored")

    assert parser.parse(tmp_path / "stored", file_name="x.pdf").n_pages == 6


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_pdf_is_named_as_truncated(refusal, share: float) -> None:
    data = HANDBOOK.read_bytes()

    assert "is truncated" in refusal(data[: int(len(data) * share)], "x.pdf").message


def test_a_pdf_without_sound_objects_is_named_as_damaged(refusal) -> None:
    data = b"%PDF-1.7\n" + b"junk " * 500 + b"\nstartxref\n99\n%%EOF\n"

    assert "is damaged" in refusal(data, "x.pdf").message


def test_a_missing_stored_file_is_not_blamed_on_the_client(parser: DocumentParser, tmp_path: Path) -> None:
    with pytest.raises(IngestionError, match="cannot be read") as caught:
        parser.parse(tmp_path / "gone", file_name="a.txt")
    assert caught.value.code == "server_error"


def test_threads_share_a_parser(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.txt" for i in range(40)]
    for path in paths:
        path.write_text(f"document {path.name}", encoding="utf-8")

    with ProcessParser(workers=2) as parser, ThreadPoolExecutor(8) as threads:
        documents = list(threads.map(lambda p: parser.parse(p, file_name=p.name), paths))

    assert [d.text for d in documents] == [f"document {p.name}" for p in paths]


def workers_of(parser: ProcessParser) -> list[int]:
    return [worker._process.pid for worker in parser._all]


def test_a_parser_starts_no_process_until_it_is_needed_and_keeps_it_warm(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello", encoding="utf-8")

    with ProcessParser() as parser:
        assert workers_of(parser) == []
        parser.parse(tmp_path / "a", file_name="a.txt")
        first = workers_of(parser)
        parser.parse(tmp_path / "a", file_name="a.txt")
        assert workers_of(parser) == first

    assert not Path(f"/proc/{first[0]}").exists()


def test_a_worker_that_was_killed_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello", encoding="utf-8")

    with ProcessParser() as parser:
        parser.parse(tmp_path / "a", file_name="a.txt")
        os.kill(workers_of(parser)[0], signal.SIGKILL)
        os.waitid(os.P_PID, workers_of(parser)[0], os.WEXITED | os.WNOWAIT)

        assert parser.parse(tmp_path / "a", file_name="a.txt").text == "hello"


def test_a_worker_that_has_grown_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("hello", encoding="utf-8")
    (tmp_path / "big").write_text("漢字" * 12_000_000, encoding="utf-8")
    with ProcessParser(max_memory_bytes=300 * 2**20, max_characters=10**8) as parser:
        parser.parse(tmp_path / "small", file_name="a.txt")
        first = workers_of(parser)
        with pytest.raises(IngestionError, match="needs more memory than allowed"):
            parser.parse(tmp_path / "big", file_name="a.md")

        assert parser.parse(tmp_path / "small", file_name="a.txt").text == "hello"
        assert workers_of(parser) != first


def test_a_worker_is_replaced_after_some_hundreds_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hello", encoding="utf-8")
    with ProcessParser() as parser:
        parser.parse(tmp_path / "a", file_name="a.txt")
        first = workers_of(parser)
        for _ in range(MAX_FILES_PER_WORKER - 1):
            parser.parse(tmp_path / "a", file_name="a.txt")
        assert workers_of(parser) == first

        parser.parse(tmp_path / "a", file_name="a.txt")

        assert workers_of(parser) != first


def test_closing_ends_a_read_in_progress_and_refuses_more(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")  # opening it waits for a writer
    parser = ProcessParser()
    errors: list[IngestionError] = []

    def read() -> None:
        try:
            parser.parse(tmp_path / "never", file_name="a.txt")
        except IngestionError as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    with (tmp_path / "never").open("wb"):  # returns when the worker has opened the other end
        parser.close()
    thread.join(timeout=10)
    parser.close()

    assert [e.code for e in errors] == ["server_error"]
    with pytest.raises(IngestionError, match="shutting down"):
        parser.parse(HANDBOOK, file_name="a.pdf")
    gc.collect()  # an open pipe would be reported now


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        ProcessParser(workers=0)


def test_a_document_survives_its_frame() -> None:
    document = Document("漢 text", pages=(Page(1, 0, 3),), n_pages=1, parser="pdf")
    frame = frames.pack_document(document, {"memory_bytes": 5})
    n_header, n_body = frames.unpack_prefix(frame[:12], max_body_bytes=100)

    header = frames.unpack_header(frame[12 : 12 + n_header])

    assert len(frame) == 12 + n_header + n_body
    assert frames.unpack_document(header, frame[12 + n_header :]) == document


@pytest.mark.parametrize(
    "changed",
    [
        {"pages": [[1, 0, 99]]},
        {"pages": [[1, 3, 2]]},
        {"pages": [[1, 0]]},
        {"pages": [["1", 0, 1]]},
        {"headings": 5},
        {"n_pages": -1},
        {"parser": None},
        {"ok": False, "code": "boom", "message": "x"},
        {"ok": False, "code": "invalid_file", "message": 5},
    ],
)
def test_a_frame_that_no_honest_worker_sends_is_refused(changed: dict[str, object]) -> None:
    honest = {"ok": True, "pages": [], "headings": [], "n_pages": 0, "n_empty_pages": 0, "parser": "text"}
    frames.unpack_document(honest, b"text")

    with pytest.raises(frames.FrameError):
        frames.unpack_document(honest | changed, b"text")


@pytest.mark.parametrize("body", [b"\xff", b"\xed\xa0\x80", b"a\x00"])
def test_a_body_that_is_no_clean_text_is_refused(body: bytes) -> None:
    honest = {"ok": True, "pages": [], "headings": [], "n_pages": 0, "n_empty_pages": 0, "parser": "text"}

    with pytest.raises(frames.FrameError):
        frames.unpack_document(honest, body)


def test_frames_over_the_limit_are_refused_before_they_are_read() -> None:
    with pytest.raises(frames.FrameError):
        frames.unpack_prefix(frames.PREFIX.pack(10, 101), max_body_bytes=100)
    with pytest.raises(frames.FrameError):
        frames.unpack_prefix(frames.PREFIX.pack(frames.MAX_HEADER_BYTES + 1, 0), max_body_bytes=100)
    for header in (b"nonsense", b"[]"):
        with pytest.raises(frames.FrameError):
            frames.unpack_header(header)
