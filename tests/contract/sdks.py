"""Other generations of the `openai` SDK, and the one for JavaScript, each in an environment of its own.

They lie in `.venv-sdk/`, made once and kept.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-sdk"
PROGRAMS = Path(__file__).with_name("programs")

NO_INDEX = re.compile(r"\(from versions: none\)|NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError")
"""What pip says when it reaches no package index at all."""

NO_REGISTRY = re.compile(r"\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)\b")
"""The same of npm."""

_LAST_WITH_OLD_HTTPX = (1, 55, 2)


def python_with(version: str) -> Path:
    """Give the interpreter of an environment that holds this version of the SDK; make it when it is not there yet.

    A machine that reaches no package index skips the test; in CI that fails it, and any other trouble always does.
    """
    return _kept(version, lambda environment: _install_python(environment, version)) / "bin" / "python"


def run_program(version: str, program: str, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run one of `programs/` with this version of the SDK, and nothing of ours; its output."""
    return _run([str(python_with(version)), "-I", str(PROGRAMS / program), *arguments], timeout_s=timeout_s)


def run_javascript(version: str, program: str, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run one of `programs/` with this version of the JavaScript SDK; its output.

    Without Node the test is skipped; in CI it fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        if os.environ.get("CI") == "true":  # noqa: TID251 - a setting of the tests
            pytest.fail("Node and npm are needed in CI: .ci/run installs them.")
        pytest.skip("Node is not here. It is needed for nothing else.")
    environment = _kept(f"node-{version}", lambda folder: _install_javascript(folder, npm, version))
    here = Path(shutil.copy(PROGRAMS / program, environment))  # Node looks for packages beside the program
    return _run([node, str(here), *arguments], timeout_s=timeout_s)


def _kept(name: str, install: Callable[[Path], None]) -> Path:
    environment, ready = ENVIRONMENTS / name, ENVIRONMENTS / name / "ready"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not ready.exists():
            shutil.rmtree(environment, ignore_errors=True)
            install(environment)
            ready.touch()
    return environment


def _run(command: list[str], *, timeout_s: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _install_python(environment: Path, version: str) -> None:
    wanted = [f"openai=={version}"]
    if tuple(int(part) for part in version.split(".")) <= _LAST_WITH_OLD_HTTPX:
        wanted.append("httpx<0.28")  # those versions pass an argument that httpx 0.28 no longer has
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment / "bin" / "python")]
    _install([*pip, "install", "--quiet", *wanted], environment=environment, unreachable=NO_INDEX)


def _install_javascript(environment: Path, npm: str, version: str) -> None:
    environment.mkdir()
    command = [npm, "install", "--prefix", str(environment), "--no-audit", "--no-fund", f"openai@{version}"]
    _install(command, environment=environment, unreachable=NO_REGISTRY)


def _install(command: list[str], *, environment: Path, unreachable: re.Pattern[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode == 0:
        return
    if unreachable.search(done.stderr) and os.environ.get("CI") != "true":  # noqa: TID251 - a setting of the tests
        pytest.skip(f"No package index is in reach to install {environment.name} from.")
    pytest.fail(f"{' '.join(command)}\n{done.stderr}")
