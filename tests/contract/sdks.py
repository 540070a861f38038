"""Other generations of the `openai` SDK, each in an environment of its own: `.venv-sdk/VERSION`, made once and kept."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-sdk"
PROGRAMS = Path(__file__).with_name("programs")

NO_INDEX = re.compile(r"\(from versions: none\)|NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError")
"""What pip says when it reaches no package index at all."""

_LAST_WITH_OLD_HTTPX = (1, 55, 2)


def python_with(version: str) -> Path:
    """Give the interpreter of an environment that holds this version of the SDK; make it when it is not there yet.

    A machine that reaches no package index skips the test; in CI that fails it, and any other trouble always does.
    """
    environment, ready = ENVIRONMENTS / version, ENVIRONMENTS / version / "ready"
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not ready.exists():
            shutil.rmtree(environment, ignore_errors=True)
            _make(environment, version)
            ready.touch()
    return environment / "bin" / "python"


def run_program(version: str, program: str, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run one of `programs/` with this version of the SDK, and nothing of ours; its output."""
    command = [str(python_with(version)), "-I", str(PROGRAMS / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{program} with openai {version}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _make(environment: Path, version: str) -> None:
    wanted = [f"openai=={version}"]
    if tuple(int(part) for part in version.split(".")) <= _LAST_WITH_OLD_HTTPX:
        wanted.append("httpx<0.28")  # those versions pass an argument that httpx 0.28 no longer has
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment / "bin" / "python")]
    done = subprocess.run(
        [*pip, "install", "--quiet", *wanted], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 0:
        return
    if NO_INDEX.search(done.stderr) and os.environ.get("CI") != "true":  # noqa: TID251 - a setting of the tests
        pytest.skip(f"No package index is in reach, so there is no openai {version} to test with.")
    pytest.fail(f"pip could not install {' '.join(wanted)}:\n{done.stderr}")
