"""The whole product where no network is, watched by the kernel: it works, and asks for nothing but this machine."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.integration.whole_product import PARTS

ROOT = Path(__file__).parents[2]
IS_CI = os.environ.get("CI") == "true"  # noqa: TID251 - a setting of the tests, not of the product
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
CUT_OFF = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
"""Runs a program in a network namespace of its own: nothing is in it but a loopback device."""


def watched(program: list[str], trace: Path) -> list[str]:
    """The command that runs a program and writes every call about networks, of it and of its children, to `trace`."""
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=network", "-o", str(trace), *program]


def contacts(trace: Path) -> set[str]:
    """The addresses in a trace that are not this machine's: of connections, and of packets without one, as DNS has."""
    asked = {first or second for first, second in ADDRESS.findall(trace.read_text(encoding="utf-8", errors="replace"))}
    return {address for address in asked if not (ip_address(address).is_loopback or ip_address(address).is_unspecified)}


def need(*command: str) -> None:
    """Skip the test where a tool does not work; in CI that is a failure."""
    works = shutil.which(command[0]) and not subprocess.run(command, capture_output=True, check=False).returncode
    if not works:
        message = f"{' '.join(command)} does not work here (Debian: apt-get install strace util-linux)."
        if IS_CI:
            pytest.fail(message)
        pytest.skip(message)


@dataclass(frozen=True)
class Trial:
    """What came of the whole product, cut off and watched."""

    status: int
    said: str
    complaints: str
    trace: Path


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    need(*CUT_OFF, "true")
    need("strace", "--seccomp-bpf", "-f", "true")
    folder = tmp_path_factory.mktemp("trial")
    program = [sys.executable, "-W", "ignore", "-m", "tests.integration.whole_product", str(folder)]
    done = subprocess.run(
        [*CUT_OFF, *watched(program, folder / "trace")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return Trial(done.returncode, done.stdout, done.stderr, folder / "trace")


def test_everything_works_without_a_network(trial: Trial) -> None:
    assert trial.status == 0, trial.complaints
    assert trial.said.split() == [part.__name__ for part in PARTS]


def test_nothing_is_asked_of_any_other_machine(trial: Trial) -> None:
    """Python's own guard would not see what a library in C does; the kernel does, children included."""
    assert "127.0.0.1" in trial.trace.read_text(encoding="utf-8"), "the trace saw the product's own connections"
    assert contacts(trial.trace) == set()
    assert "htons(53)" not in trial.trace.read_text(encoding="utf-8"), "no name was looked up"


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.socket().connect_ex(('203.0.113.7', 80))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('203.0.113.7', 53))",
        "import socket; socket.socket(socket.AF_INET6).connect_ex(('2001:db8::7', 80))",
        "import os, socket\nif os.fork():\n    os.wait()\nelse:\n    socket.socket().connect_ex(('203.0.113.7', 80))",
    ],
    ids=["connection", "packet", "IPv6", "child"],
)
def test_a_program_that_asks_another_machine_is_seen(tmp_path: Path, program: str) -> None:
    need(*CUT_OFF, "true")
    need("strace", "--seccomp-bpf", "-f", "true")
    tried = f"try:\n    exec({program!r})\nexcept OSError:\n    pass"
    command = [*CUT_OFF, *watched([sys.executable, "-c", tried], tmp_path / "trace")]

    subprocess.run(command, check=True)

    assert contacts(tmp_path / "trace") <= {"203.0.113.7", "2001:db8::7"}
    assert contacts(tmp_path / "trace")
