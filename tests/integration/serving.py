"""`localassist serve` in a process of its own that a test may kill, and start again on the same home."""

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import openai

T = TypeVar("T")


class Served:
    """A server on one home. `kill` and `start` it as often as wanted; it is ended with the block."""

    def __init__(
        self,
        home: Path,
        model_url: str,
        *,
        log: Path | None = None,
        prefix: list[str] | None = None,
        **settings: object,
    ) -> None:
        self.home = home
        self.url = ""
        self._prefix = prefix or []
        self._log = log or home.with_suffix(".log")
        self._environment = {f"LOCALASSIST_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment |= {"LOCALASSIST_HOME": str(home), "LOCALASSIST_MODEL_BASE_URL": model_url}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self.kill()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the server was never started"
        return self._process

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        command = [*self._prefix, sys.executable, "-m", "localassist", "serve", "--port", "0"]
        variables = os.environ | {"COLUMNS": "200", "LOCALASSIST_MODEL": "scripted"} | self._environment  # noqa: TID251 - a child's
        begins = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        self.url = until(lambda: self._announced(begins), what="the server announces its port")
        with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
            assert answer.status == 200
        return self

    def kill(self) -> None:
        """End the server without a warning, as a failing machine does."""
        self.process.kill()
        self.process.wait(30)

    def client(self, **options: object) -> openai.OpenAI:
        """An unmodified SDK that does not try again: a test wants to see what happens."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", **({"max_retries": 0, "timeout": 60} | options))  # type: ignore[arg-type]  # the SDK's own options

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def _announced(self, begins: int) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"The server ended with {self.process.returncode}:\n{self.log}")
        for line in self._log.read_bytes()[begins:].decode().splitlines():
            words = line.split()
            if line.startswith("localassist ") and words[-1].endswith("/v1"):
                return words[-1].removesuffix("/v1")
        return None


def until(asked: Callable[[], T | None], *, what: str, within_s: float = 60.0) -> T:
    """Ask until the answer is true; fail after `within_s`."""
    pause, give_up_at = threading.Event(), time.monotonic() + within_s
    while True:
        answer = asked()
        if answer:
            return answer
        if time.monotonic() > give_up_at:
            raise AssertionError(f"Not within {within_s} s: {what}")
        pause.wait(0.02)


def children_of(pid: int) -> list[int]:
    """The processes that `pid` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
