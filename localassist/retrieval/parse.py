"""A file's bytes to a `Document`, in a separate process with limits on time, memory and output.

The parsers themselves are in `parsers/`; none of their libraries is loaded here.
"""

import math
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers import frames
from localassist.retrieval.parsers.kinds import SUPPORTED_EXTENSIONS, kind_by_name

__all__ = ["SUPPORTED_EXTENSIONS", "ProcessParser"]

DEFAULT_MAX_CHARACTERS = 20_000_000
"""About the 5,000,000 tokens that the API allows for a file, in English."""

MAX_FILES_PER_WORKER = 500
_READ_BYTES = 1 << 20
_GRACE_S = 5.0
"""A process whose output has ended is about to end; its exit status says why."""


class _TimedOutError(Exception):
    """The worker did not answer in time."""


class _WorkerLostError(Exception):
    """The worker ended, or said something that no honest worker says."""


@dataclass(frozen=True, slots=True)
class _Limits:
    timeout_s: float
    max_memory_bytes: int
    max_characters: int


class ProcessParser:
    """Reads files in warm worker processes, one file at a time in each.

    A worker has no environment of ours, writes no files, and is killed when it passes its time. It is replaced after
    some hundreds of files, when its memory has grown, and when it dies. Threads may share a parser; those that find
    all workers busy wait for one.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 120.0,
        max_memory_bytes: int = 2 * 2**30,
        max_characters: int = DEFAULT_MAX_CHARACTERS,
        workers: int = 1,
    ) -> None:
        if workers < 1 or timeout_s <= 0:
            raise ValueError(f"{workers=} must be at least 1 and {timeout_s=} more than 0.")
        self._limits = _Limits(timeout_s, max_memory_bytes, max_characters)
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._n_workers = workers
        self._lock = threading.Lock()
        self._all: set[_Worker] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def parse(self, path: Path, *, file_name: str) -> Document:
        """Read a file; see `DocumentParser`.

        Raises:
            IngestionError: the file is empty, unsupported, damaged, encrypted, without text, or over a limit.
        """
        kind_by_name(file_name)  # an unknown ending needs no worker
        worker = self._idle.get()
        try:
            if worker is None or worker.is_spent:
                self._drop(worker)
                worker = None
                worker = self._start()
            return worker.parse(path, file_name)
        except _TimedOutError as error:
            raise IngestionError(
                f"Reading {file_name!r} took longer than the {self._limits.timeout_s:g} seconds allowed and was "
                "stopped. Split the file, or save it in a simpler format."
            ) from error
        except _WorkerLostError as error:
            raise self._explain(worker, file_name) from error
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Stop all workers, also those at work; may be called twice."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.stop()
        for _ in range(self._n_workers):  # a thread that waits for an answer sees its worker end, and gives it back
            self._drop(self._idle.get())
        for _ in range(self._n_workers):
            self._idle.put(None)

    def _start(self) -> "_Worker":
        with self._lock:
            if self._closed:
                raise IngestionError("The file was not read: localassist is shutting down.", code="server_error")
            try:
                worker = _Worker(self._limits)
            except OSError as error:
                raise IngestionError(
                    f"No process could be started to read files: {error}.", code="server_error"
                ) from error
            self._all.add(worker)
            return worker

    def _drop(self, worker: "_Worker | None") -> None:
        if worker is not None:
            worker.dispose()
            with self._lock:
                self._all.discard(worker)

    def _explain(self, worker: "_Worker | None", file_name: str) -> IngestionError:
        """Say why a worker was lost; a signal that the file's contents cannot cause is not blamed on the file."""
        status = None if worker is None else worker.exit_status
        if self._closed or status is None or status >= 0 or status == -signal.SIGTERM:
            return IngestionError(
                f"The process that read {file_name!r} ended (exit status {status}).", code="server_error"
            )
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        if status == -signal.SIGKILL:
            return IngestionError(
                f"The process that read {file_name!r} was killed from outside ({name}); the machine may be short of "
                "memory. Try again, or lower the memory limit of the parser.",
                code="server_error",
            )
        if status == -signal.SIGXCPU:
            return IngestionError(
                f"Reading {file_name!r} took more processor time than the {self._limits.timeout_s:g} seconds allowed."
            )
        memory = f"{self._limits.max_memory_bytes / 2**20:,.0f} MB"
        return IngestionError(
            f"Reading {file_name!r} made the parser crash ({name}): the file is damaged, or needs more memory than the "
            f"{memory} allowed. Open it in its own program, save it again, and use that."
        )


class _Worker:
    """One parser process. `parse` may be called by one thread at a time; `stop` by any."""

    def __init__(self, limits: _Limits) -> None:
        self._limits = limits
        self._n_files = 0
        self._has_hung_up = False
        self._is_grown = False
        # Only what it needs: no keys of ours are in the environment of a process that reads hostile files.
        environment = {
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "PYTHONUTF8": "1",
            "OPENBLAS_NUM_THREADS": "1",  # numpy is only passed through; a pool of threads would cost address space
        }
        command = [sys.executable, "-P", "-m", "localassist.retrieval.parsers.worker", str(limits.max_memory_bytes)]
        self._process = subprocess.Popen(  # noqa: S603 # our own module, in our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C at the terminal is the parent's business
            bufsize=0,
        )
        assert self._process.stdin is not None  # noqa: S101 # for the type checker: it is a pipe
        assert self._process.stdout is not None  # noqa: S101 # the same
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.exit_status: int | None = None

    @property
    def is_spent(self) -> bool:
        """Tell whether the next file should go to a new process."""
        return self._is_grown or self._n_files >= MAX_FILES_PER_WORKER or self._process.poll() is not None

    def parse(self, path: Path, file_name: str) -> Document:
        """Let the process read a file.

        Raises:
            IngestionError: what the process says about the file.
            _TimedOutError: no answer in time; the process was killed.
            _WorkerLostError: the process ended, or broke the protocol; it was killed.
        """
        self._n_files += 1
        deadline = time.monotonic() + self._limits.timeout_s
        request = {
            "path": str(path.absolute()),
            "file_name": file_name.encode("utf-8", "replace").decode("utf-8"),
            "max_characters": self._limits.max_characters,
            "cpu_s": math.ceil(self._limits.timeout_s),
        }
        is_sound = False  # a worker that was left in the middle of an answer must never be asked again
        try:
            self._send(frames.pack(request))
            header, body = self._receive(deadline)
            is_sound = True
        except frames.FrameError as error:
            raise _WorkerLostError(str(error)) from error
        finally:
            if not is_sound:
                self.stop()
        self._is_grown = bool(header.get("spent")) or _is_large(header.get("memory_bytes"), self._limits)
        try:
            return frames.unpack_document(header, body)
        except frames.FrameError as error:
            self.stop()
            raise _WorkerLostError(str(error)) from error

    def stop(self) -> None:
        """End the process at once; may be called by any thread, also while another waits for an answer."""
        try:  # one that ended by itself keeps the status it ended with
            self.exit_status = self._process.wait(timeout=_GRACE_S if self._has_hung_up else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.exit_status = self._process.wait()

    def dispose(self) -> None:
        """End the process, and close its pipes; only for the thread that holds the worker."""
        self.stop()
        self._requests.close()
        self._answers.close()

    def _send(self, frame: bytes) -> None:
        try:
            self._requests.write(frame)
        except OSError as error:  # the process has ended
            self._has_hung_up = True
            raise _WorkerLostError(str(error)) from error

    def _receive(self, deadline: float) -> tuple[dict[str, Any], bytes]:
        max_body_bytes = 4 * self._limits.max_characters
        prefix = self._read(frames.PREFIX.size, deadline)
        n_header, n_body = frames.unpack_prefix(prefix, max_body_bytes=max_body_bytes)
        header = frames.unpack_header(self._read(n_header, deadline))
        return header, self._read(n_body, deadline)

    def _read(self, n_bytes: int, deadline: float) -> bytes:
        received = bytearray()
        try:
            descriptor = self._answers.fileno()
            poll = select.poll()
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
            while len(received) < n_bytes:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not poll.poll(math.ceil(left_s * 1000)):
                    raise _TimedOutError
                chunk = os.read(descriptor, min(_READ_BYTES, n_bytes - len(received)))
                if not chunk:
                    self._has_hung_up = True
                    raise _WorkerLostError("the process ended")
                received += chunk
        except OSError as error:
            raise _WorkerLostError(str(error)) from error
        return bytes(received)


def _is_large(memory_bytes: Any, limits: _Limits) -> bool:
    return isinstance(memory_bytes, int) and memory_bytes > limits.max_memory_bytes // 2
