"""What was made of each file's content, on disk: text, vectors and terms, once for each content, never changed.

    <root>/content/<text>/text                        the text, its pages and headings
                          vectors-<vectors>           windows and sub-windows of one embedder
                          chunks-<vectors>-<chunks>   chunks of one strategy: spans, terms, their windows
    <root>/content/tmp/                               half-written files; nobody reads them

`<text>` names the file's bytes and how they were parsed, `<vectors>` the embedder, `<chunks>` the chunking and the
analyzer. The three together are a content key: all that a database row needs to hold. So a file that comes again, under
another name or with other chunks, finds its text and vectors here, and a search never meets a half-written file.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from localassist import clock
from localassist.errors import IngestionError
from localassist.retrieval.model import Document, Heading, Page
from localassist.retrieval.segment import Array, DamagedContentError, Segment, publish, write_segment

logger = logging.getLogger(__name__)

_TEMPORARY: Final = "tmp"


@dataclass(frozen=True, slots=True)
class ContentKey:
    """Names prepared content; `str` gives the form that `IndexedFile.content_key` holds, `parse` reads it."""

    text: str
    vectors: str
    chunks: str

    def __str__(self) -> str:
        return f"{self.text}-{self.vectors}-{self.chunks}"

    @classmethod
    def parse(cls, key: str) -> "ContentKey":
        """Read a key.

        Raises:
            ValueError: it does not have the form of one.
        """
        parts = key.split("-")
        if len(parts) != 3 or not all(part.isalnum() for part in parts):
            raise ValueError(f"{key!r} is not a content key.")
        return cls(*parts)

    @property
    def text_name(self) -> str:
        """Give the name of the text's segment."""
        return f"{self.text}/text"

    @property
    def vectors_name(self) -> str:
        """Give the name of the vectors' segment."""
        return f"{self.text}/vectors-{self.vectors}"

    @property
    def chunks_name(self) -> str:
        """Give the name of the chunks' segment."""
        return f"{self.text}/chunks-{self.vectors}-{self.chunks}"

    @property
    def names(self) -> tuple[str, str, str]:
        """Give the names of all segments."""
        return self.text_name, self.vectors_name, self.chunks_name


def digest(*parts: str, characters: int) -> str:
    """Give the first hexadecimal digits of the SHA-256 of parts that cannot run into each other."""
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()[:characters]


class ContentStore:
    """The segments of all contents under one folder, for any number of threads and processes."""

    def __init__(self, root: Path, *, max_open: int = 256) -> None:
        """Use `root`, which is made at the first write; at most `max_open` segments stay mapped when unused.

        Each mapped segment costs a file descriptor, of which a process often has 1,024.
        """
        self._folder = root / "content"
        self._max_open = max_open
        self._open: OrderedDict[str, Segment] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, name: str) -> Segment:
        """Map a segment, or give the one that is mapped already.

        Raises:
            DamagedContentError: it is missing or is not a whole segment.
        """
        with self._guard:
            segment = self._open.get(name)
            if segment is not None:
                self._open.move_to_end(name)
                return segment
        segment = Segment(self._folder / name)
        with self._guard:
            self._open[name] = segment
            while len(self._open) > self._max_open:
                self._open.popitem(last=False)
        return segment

    def keep(self, name: str) -> bool:
        """Make a segment young, so that `collect` leaves it; give whether it is there, whole and undamaged.

        A damaged one is reported in the log, and the caller writes it again.

        Raises:
            IngestionError: the folder cannot be written to.
        """
        with _blamed_on_the_disk(), self._lock(fcntl.LOCK_SH):
            try:
                self._touch(self._folder / name)
            except FileNotFoundError:
                return False
        try:
            Segment(self._folder / name).verify()
        except DamagedContentError as error:
            logger.warning("Damaged content is made again", extra={"action": "content_damaged", "reason": str(error)})
            return False
        return True

    def write(self, name: str, *, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Put a segment in its place, complete and on disk.

        Raises:
            IngestionError: the folder cannot be written to, or is full.
        """
        temporary = self._temporary_folder() / f"{os.getpid()}-{secrets.token_hex(8)}"
        with _blamed_on_the_disk():
            self._temporary_folder().mkdir(parents=True, exist_ok=True)
            try:
                write_segment(temporary, meta=meta, arrays=arrays)
                with self._lock(fcntl.LOCK_SH):
                    path = self._folder / name
                    path.parent.mkdir(exist_ok=True)
                    self._touch(temporary)
                    publish(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        with self._guard:
            self._open.pop(name, None)

    def collect(self, live: Set[str], *, older_than_s: float) -> int:
        """Remove what no live content key names and is older than `older_than_s`; give the number of files removed.

        The age protects an ingestion that has its key but whose row is not yet committed: it has made its segments
        young. So take the live keys first, and let the age be longer than an ingestion needs to commit.
        """
        kept = {name for key in live for name in ContentKey.parse(key).names}
        n_removed = 0
        with self._lock(fcntl.LOCK_EX):
            before = clock.now() - older_than_s
            for folder in [path for path in self._folder.iterdir() if path.is_dir()]:
                names = [f"{folder.name}/{path.name}" for path in folder.iterdir()]
                dead = [n for n in names if n not in kept and (self._folder / n).stat().st_mtime <= before]
                for name in dead:
                    self._remove(name)
                if len(dead) == len(names) and folder.name != _TEMPORARY:
                    folder.rmdir()
                n_removed += len(dead)
        return n_removed

    def close(self) -> None:
        """Let go of all mapped segments."""
        with self._guard:
            self._open.clear()

    def _remove(self, name: str) -> None:
        (self._folder / name).unlink()
        with self._guard:
            self._open.pop(name, None)

    def _temporary_folder(self) -> Path:
        return self._folder / _TEMPORARY

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        """Hold the folder's lock: shared by all who add or keep, alone for who removes; also between processes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    @staticmethod
    def _touch(path: Path) -> None:
        os.utime(path, (clock.now(), clock.now()))


@contextmanager
def _blamed_on_the_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"The search index could not be written: {error.strerror or error}."
        raise IngestionError(message, code="server_error") from error


def text_arrays(document: Document) -> tuple[Mapping[str, Any], Mapping[str, Array]]:
    """Give a document as the meta data and arrays of a segment."""
    meta = {"parser": document.parser, "n_pages": document.n_pages, "n_empty_pages": document.n_empty_pages}
    return meta, {
        "text": np.frombuffer(document.text.encode("utf-8"), dtype=np.uint8),
        "pages": np.array([(p.number, p.start, p.end) for p in document.pages], dtype=np.int64).reshape(-1, 3),
        "headings": np.array([(h.level, h.start, h.end) for h in document.headings], dtype=np.int64).reshape(-1, 3),
    }


def read_document(segment: Segment) -> Document:
    """Give the document that `text_arrays` took apart.

    Raises:
        DamagedContentError: the segment is damaged.
    """
    return Document(
        text=segment.array("text").tobytes().decode("utf-8"),
        pages=read_pages(segment),
        headings=tuple(Heading(*row) for row in segment.array("headings").tolist()),
        n_pages=segment.meta["n_pages"],
        n_empty_pages=segment.meta["n_empty_pages"],
        parser=segment.meta["parser"],
    )


def read_pages(segment: Segment, *, start: int = 0, end: int | None = None) -> tuple[Page, ...]:
    """Give the pages of a text, or those of them that the characters `start` to `end` touch.

    Raises:
        DamagedContentError: the segment is damaged.
    """
    pages = segment.array("pages")
    if end is not None:
        pages = pages[(pages[:, 1] < end) & (pages[:, 2] > start)]
    return tuple(Page(*row) for row in pages.tolist())


def byte_spans(text: str, spans: Array) -> Array:
    """Give the bytes of a text's UTF-8 that spans of its characters hold, `[n, 2] int64`."""
    if text.isascii():
        return spans.astype(np.int64)
    places, which = np.unique(spans, return_inverse=True)  # a table of every character would take 8 bytes for each
    between = [len(text[a:b].encode()) for a, b in pairwise([0, *places.tolist()])]
    return np.cumsum(between, dtype=np.int64)[which].reshape(spans.shape)
