"""Files that attack: none may take the parent down, hang it, fill its memory, or stop the next file from being read."""

import io
import os
import resource
import signal
import struct
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localassist.errors import IngestionError
from localassist.retrieval.parse import ProcessParser

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
GOOD = "The tide turns at 14:20."


@pytest.fixture(scope="module")
def parser() -> Iterator[ProcessParser]:
    with ProcessParser(timeout_s=60.0) as parser:
        yield parser


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good"
    path.write_text(GOOD, encoding="utf-8")
    return path


def docx(document_xml: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", document_xml)
    return buffer.getvalue()


def paragraph(text: str, declarations: str = "") -> bytes:
    body = f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body>"
    return f"{declarations}<w:document {WORD}>{body}</w:document>".encode()


def refused(parser: ProcessParser, path: Path, file_name: str) -> IngestionError:
    with pytest.raises(IngestionError) as caught:
        parser.parse(path, file_name=file_name)
    return caught.value


def outcome(parser: ProcessParser, path: Path, file_name: str) -> str:
    try:
        document = parser.parse(path, file_name=file_name)
    except IngestionError as error:
        return error.code
    return "read" if document.text.strip() else "read, but empty"


def usable(parser: ProcessParser, good: Path) -> bool:
    return parser.parse(good, file_name="good.txt").text == GOOD


def test_a_zip_bomb_inside_a_docx_is_refused_before_it_unpacks(
    parser: ProcessParser, tmp_path: Path, good: Path
) -> None:
    bomb = docx(paragraph(" " * 60_000_000))
    (tmp_path / "bomb").write_bytes(bomb)
    assert len(bomb) < 100_000

    error = refused(parser, tmp_path / "bomb", "bomb.docx")

    assert error.code == "invalid_file"
    assert "ZIP bomb" in error.message
    assert usable(parser, good)


def test_a_zip_that_lies_about_its_sizes_is_damaged(parser: ProcessParser, tmp_path: Path) -> None:
    bomb = bytearray(docx(paragraph(" " * 20_000_000)))
    at = bomb.rindex(b"PK\x01\x02")  # the directory's entry of word/document.xml
    struct.pack_into("<I", bomb, at + 24, 1_000)
    (tmp_path / "liar").write_bytes(bomb)

    assert "damaged" in refused(parser, tmp_path / "liar", "liar.docx").message


def test_entities_are_not_multiplied(parser: ProcessParser, tmp_path: Path, good: Path) -> None:
    laughs = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    (tmp_path / "a").write_bytes(docx(paragraph("before &l11; after", f"<!DOCTYPE x [{laughs}]>")))
    started = time.monotonic()

    outcome(parser, tmp_path / "a", "a.docx")

    assert time.monotonic() - started < 10
    assert usable(parser, good)


def test_entities_do_not_read_other_files(parser: ProcessParser, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("do not read me", encoding="utf-8")
    declarations = f'<!DOCTYPE x [<!ENTITY file SYSTEM "file://{tmp_path}/secret">]>'
    (tmp_path / "a").write_bytes(docx(paragraph("before &file; after", declarations)))

    document = parser.parse(tmp_path / "a", file_name="a.docx")

    assert document.text.startswith("before")
    assert "do not read" not in document.text


def test_xml_of_great_depth_is_refused(parser: ProcessParser, tmp_path: Path, good: Path) -> None:
    (tmp_path / "a").write_bytes(docx(b"<a>" * 100_000 + b"</a>" * 100_000))

    assert "not well-formed" in refused(parser, tmp_path / "a", "a.docx").message
    assert usable(parser, good)


def test_a_file_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")  # a read of it waits for ever
    with ProcessParser(timeout_s=0.4) as parser:
        started = time.monotonic()

        error = refused(parser, tmp_path / "never", "slow.txt")

        assert 0.4 <= time.monotonic() - started < 5
        assert (error.code, "longer than the 0.4 seconds" in error.message) == ("invalid_file", True)


def test_a_time_out_leaves_the_same_pool_usable(tmp_path: Path, good: Path) -> None:
    os.mkfifo(tmp_path / "never")
    with ProcessParser(timeout_s=2.0) as parser:
        assert "longer than" in refused(parser, tmp_path / "never", "slow.txt").message

        assert usable(parser, good)
        assert usable(parser, good)


def while_reading(parser: ProcessParser, path: Path, act: Callable[[int], None]) -> IngestionError:
    """Let a worker begin to read a pipe, do something to its process, and give the error of the read."""
    os.mkfifo(path)
    errors: list[IngestionError] = []
    thread = threading.Thread(target=lambda: errors.append(refused(parser, path, "a.pdf")))
    thread.start()
    with path.open("wb"):  # returns when the worker has opened the other end
        (worker,) = parser._all
        act(worker._process.pid)
        thread.join(timeout=20)
    return errors[0]


@pytest.mark.parametrize(
    ("signal_number", "code", "words"),
    [
        (signal.SIGSEGV, "invalid_file", r"crash (SIGSEGV)"),
        (signal.SIGABRT, "invalid_file", r"crash (SIGABRT)"),
        (signal.SIGXCPU, "invalid_file", "more processor time than the 30 seconds"),
        (signal.SIGKILL, "server_error", "killed from outside (SIGKILL)"),
    ],
)
def test_a_parser_that_crashes_is_reported_and_replaced(
    tmp_path: Path, good: Path, signal_number: int, code: str, words: str
) -> None:
    with ProcessParser(timeout_s=30.0) as parser:
        error = while_reading(parser, tmp_path / "pipe", lambda pid: os.kill(pid, signal_number))

        assert (error.code, words in error.message) == (code, True), error.message
        assert usable(parser, good)


def test_a_file_that_needs_more_memory_than_allowed_is_refused(tmp_path: Path, good: Path) -> None:
    (tmp_path / "big").write_bytes(b"<p>x" * 12_000_000)
    with ProcessParser(timeout_s=60.0, max_memory_bytes=400 * 2**20, max_characters=100_000_000) as parser:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        error = refused(parser, tmp_path / "big", "big.html")

        assert error.code == "invalid_file"
        assert "memory" in error.message
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 2**10  # in KiB
        assert usable(parser, good)


def test_the_limits_of_a_worker_hold(good: Path) -> None:
    with ProcessParser(max_memory_bytes=2**30) as parser:
        assert usable(parser, good)
        (worker,) = parser._all
        pid = worker._process.pid

        assert resource.prlimit(pid, resource.RLIMIT_AS) == (2**30, 2**30)
        assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] <= 64
        assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] < 200


def test_a_worker_sees_none_of_our_environment(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with ProcessParser() as parser:
        assert usable(parser, good)
        (worker,) = parser._all

        environment = Path(f"/proc/{worker._process.pid}/environ").read_bytes()

    assert b"sk-secret" not in environment
    assert b"PYTHONPATH" in environment


def test_too_much_text_is_refused_in_the_worker(tmp_path: Path, good: Path) -> None:
    (tmp_path / "big").write_bytes(b"word " * 400_000)
    with ProcessParser(max_characters=1_000_000) as parser:
        assert "more text than the 1,000,000 characters" in refused(parser, tmp_path / "big", "big.txt").message
        assert usable(parser, good)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_documents_are_read_or_refused_but_never_lost(
    parser: ProcessParser, tmp_path: Path, good: Path, seed: int
) -> None:
    root = Path(__file__).parents[1]
    samples = [*(root / "data").glob("*.*"), *(root.parent / "examples" / "documents").glob("*.*")]
    for i, sample in enumerate(
        sorted(p for p in samples if p.suffix in {".doc", ".docx", ".epub", ".pptx", ".xlsx", ".pdf"})
    ):
        data = bytearray(sample.read_bytes())
        for k in range(12):  # bytes spread over the file, different for each seed
            data[(seed * 7919 + i * 104_729 + k * 15_485_863) % len(data)] ^= 0xFF
        (tmp_path / "damaged").write_bytes(data)

        assert outcome(parser, tmp_path / "damaged", sample.name) in {"read", "invalid_file"}

    assert usable(parser, good)
