"""How far the indexing is: a bar on stderr when a terminal is there, one line at the end in any case."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from localassist.cli.escapes import plain
from localassist.cli.library import Held, SyncReport
from localassist.cli.logs import is_verbose
from localassist.cli.paths import LocalFile, describe_skipped, shown
from localassist.cli.terminal import count

if TYPE_CHECKING:
    from localassist.retrieval.model import Progress as FileProgress

_SHARES = {"parse": (0.0, 0.1), "chunk": (0.1, 0.05), "embed": (0.15, 0.8), "write": (0.95, 0.05)}
"""Where each step of a file begins, and the share of the file's work that it is."""


@dataclass(slots=True)
class _File:
    local: LocalFile
    fraction: float = 0.0
    tokens_done: int = 0
    tokens_total: int | None = None
    is_done: bool = False


class Tally:
    """Counts what the files being indexed have come to. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, _File] = {}
        self.n_pages = 0
        self.current = ""

    def begin(self, files: Mapping[str, LocalFile]) -> None:
        """Take files that are about to be indexed, by id."""
        with self._lock:
            self._files |= {file_id: _File(local) for file_id, local in files.items()}

    def step(self, file_id: str, progress: "FileProgress") -> None:
        """Take how far one file is; files that this command did not add are somebody else's."""
        with self._lock:
            file = self._files.get(file_id)
            if file is None or file.is_done:
                return
            start, share = _SHARES[progress.stage]
            part = progress.done / progress.total if progress.total > 0 else 0.0
            file.fraction = max(file.fraction, start + share * min(part, 1.0))
            if progress.stage == "embed":
                file.tokens_done, file.tokens_total = progress.done, progress.total
            self.current = plain(file.local.path.name)

    def finish(self, held: Held) -> None:
        """Take a file that is done or has failed."""
        with self._lock:
            file = self._files.get(held.file_id)
            if file is None or file.is_done:
                return
            file.is_done, file.fraction = True, 1.0
            if file.tokens_total is None:  # another process indexed it, or its vectors were there
                file.tokens_done = 0
            self.n_pages += held.n_pages

    @property
    def n_done(self) -> int:
        """Files that are done."""
        return sum(file.is_done for file in self._files.values())

    @property
    def n_files(self) -> int:
        """Files in all."""
        return len(self._files)

    @property
    def n_tokens(self) -> int:
        """Tokens embedded so far."""
        return sum(file.tokens_done for file in self._files.values())

    @property
    def fraction(self) -> float:
        """The share of the work that is done, files weighed by their size."""
        with self._lock:
            total = sum(file.local.n_bytes + 1 for file in self._files.values())
            done = sum((file.local.n_bytes + 1) * file.fraction for file in self._files.values())
        return done / total if total else 0.0


class ProgressBar:
    """Shows a `Tally` while files are indexed; without a terminal it only counts."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self.tally = Tally()
        self._console = console
        self._started: float | None = None
        self._is_shown = console.is_terminal and not quiet
        self._bar = Progress(
            TextColumn("Indexing"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not self._is_shown,
        )
        self._task = self._bar.add_task("", total=1.0, facts="")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="localassist-progress", daemon=True)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first file was begun."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._bar.stop()

    def begins(self, files: Mapping[str, LocalFile]) -> None:
        """Take the files that are about to be indexed, by file id; the bar appears with the first."""
        self.tally.begin(files)
        if files and self._started is None:
            self._started = time.monotonic()
        if files and self._is_shown and not self._thread.is_alive():
            self._bar.start()
            self._thread.start()

    def on_progress(self, file_id: str, progress: "FileProgress") -> None:
        """Take how far one file is."""
        self.tally.step(file_id, progress)

    def finished(self, file: Held) -> None:
        """Take a file that is done or has failed."""
        self.tally.finish(file)

    def _draw(self) -> None:
        while not self._ended.wait(0.1):
            facts = describe(self.tally, self.elapsed_s)
            self._bar.update(self._task, completed=self.tally.fraction, facts=facts)


def describe(tally: Tally, elapsed_s: float) -> str:
    """Write what a tally has come to: files, pages, tokens per second, time left."""
    facts = [f"{tally.n_done} of {count(tally.n_files, 'file')}"]
    if tally.n_pages:
        facts.append(count(tally.n_pages, "page"))
    if tally.n_tokens and elapsed_s > 0:
        facts.append(f"{tally.n_tokens / elapsed_s:,.0f} tokens/s")
    if 0.02 < tally.fraction < 1 and elapsed_s > 1:
        facts.append(f"{_clock(elapsed_s * (1 - tally.fraction) / tally.fraction)} left")
    if tally.current:
        facts.append(tally.current)
    return " · ".join(facts)


def print_report(console: Console, report: SyncReport, elapsed_s: float, *, always: bool = False) -> None:
    """Write what became of the files: one line, and one for each that failed."""
    facts = []
    if report.added:
        n_pages = sum(held.n_pages for held in report.added if held.path.lower().endswith(".pdf"))
        n_tokens = sum(held.n_tokens for held in report.added)
        fresh = sum(held.n_tokens for held in report.added if not held.reused_vectors)
        speed = f", {fresh / elapsed_s:,.0f} tokens/s" if is_verbose() and elapsed_s > 0 else ""
        speed = speed if fresh else ", nothing embedded again"
        pages = f", {count(n_pages, 'PDF page')}" if n_pages else ""
        facts.append(
            f"{count(len(report.added), 'file')} indexed{pages}, {n_tokens:,} tokens in {elapsed_s:.1f} s{speed}"
        )
    if report.n_kept:
        facts.append(f"{report.n_kept} unchanged")
    if report.n_duplicates:
        facts.append(f"{report.n_duplicates} with the same content as another")
    if report.n_removed:
        facts.append(f"{report.n_removed} removed")
    if report.skipped:
        facts.append(describe_skipped(report.skipped))
    if facts and (always or report.added or report.failed or report.n_removed):
        console.print(Text("; ".join(facts), style="faint"))
    for held in report.failed:
        reason = held.error or f"its indexing was {held.status}"
        console.print(Text.assemble((shown(held.path), "bad"), f": {plain(reason)}"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
