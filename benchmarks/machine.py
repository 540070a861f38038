"""The machine that measures, and its processes: what they are, what they use, and a server of ours among them."""

import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
_VERSIONS = ("numpy", "onnxruntime", "sqlalchemy", "starlette", "uvicorn", "httpx", "pydantic", "litellm", "openai")
_READY_WITHIN_S = 60.0


def machine() -> dict[str, Any]:
    """Say where and on what a measurement is made."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    memory = Path("/proc/meminfo").read_text(encoding="utf-8").split(maxsplit=2)[1]
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "cpu_flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gb": round(int(memory) / 1024**2, 1),
        "load_before": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: metadata.version(package) for package in _VERSIONS},
    }


def commit() -> str:
    """Give the short commit of the checkout, with a `+` when files of the program differ from it."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if _git("status", "--porcelain", "--", "localassist", "benchmarks/*.py", "models") else head


def processor_s(pid: int, *, with_ended: bool = False) -> float:
    """Give the processor seconds that a process's living threads have used, to the nanosecond.

    `with_ended`: threads that have ended count too, and all is given to a hundredth.
    """
    if with_ended:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(int(text.split()[0]) for text in _of_threads(pid, "schedstat")) / 1e9


def resident_mb(pid: int, *, highest: bool = False) -> float:
    """Give what a process holds in memory, or the most it ever held."""
    key = "VmHWM:" if highest else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024


def children_of(pid: int) -> list[int]:
    """Give the processes that a process has started and that live."""
    return [int(child) for text in _of_threads(pid, "children") for child in text.split()]


def subprocess_json(command: Sequence[str]) -> Any:
    """Run a command in the checkout and read the last line it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Server:
    """`localassist serve` on a home, as a child process with a free port; it answers when the block is entered."""

    def __init__(
        self,
        home: Path,
        *options: str,
        module: str = "localassist",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", module, "serve", "--home", str(home), "--port", "0", *options]
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=self._environment
        )
        assert self._process.stderr is not None
        words = self._process.stderr.readline().split()
        url = next((word for word in words if word.startswith("http://")), None)
        if url is None:
            raise SystemExit(f"The server did not start: {' '.join(words)} {self._process.stderr.read()}")
        self.host = url.removeprefix("http://").removesuffix("/v1")
        self.pid = self._process.pid
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()

    def wait(self) -> None:
        """Ask `/health` until it answers 200."""
        until = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < until:
            connection = http.client.HTTPConnection(self.host, timeout=5)
            try:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.002)
            finally:
                connection.close()
        raise SystemExit(f"The server did not answer within {_READY_WITHIN_S:.0f} s.")


class Client:
    """One kept connection to a server; plain HTTP, so that little of what is measured is the client's."""

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=600)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and read JSON."""
        answer = self.open(method, path, body)
        return json.loads(answer.read())

    def open(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        """Send JSON, and give the answer to be read as it comes."""
        data = None if body is None else json.dumps(body).encode()
        return self.send(method, path, data, content_type="application/json")

    def send(self, method: str, path: str, data: bytes | None, *, content_type: str) -> http.client.HTTPResponse:
        """Send bytes; an answer that is an error ends the measurement."""
        headers = {"content-type": content_type} if data is not None else {}
        self._connection.request(method, f"/v1{path}", body=data, headers=headers)
        answer = self._connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.read().decode(errors='replace')}")
        return answer


def _of_threads(pid: int, name: str) -> Iterator[str]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            yield (thread / name).read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip()
