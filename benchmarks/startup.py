"""How soon the package, the command line and the server are there.

Processor seconds of the whole process, from its start to its end, or for the server until `GET /health` has answered
200 on a home that exists. Idle is when the server has come to rest after that: its embedding model, which it loads in
the background, is there. A bare Python that does nothing is the floor.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import ROOT, Server, processor_s, resident_mb
from benchmarks.measurement import Measurement, row

_SERVED_AT_MOST = 5
_QUIET_S = 1.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--n", type=int, default=10, help="times each command is started")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure."""
    commands: dict[str, tuple[Sequence[str], str]] = {
        "python -c pass": (["-c", "pass"], ""),
        "import localassist": (["-c", "import localassist"], "< 0.15"),
        "localassist --help": (["-m", "localassist", "--help"], ""),
    }
    rows = [
        row(name, [_processor_s_of(command) for _ in range(options.n)], "CPU-s", bound=bound)
        for name, (command, bound) in commands.items()
    ]
    with tempfile.TemporaryDirectory() as name:
        with Server(Path(name)):
            pass  # now the home exists
        served = [_served(Path(name)) for _ in range(min(options.n, _SERVED_AT_MOST))]
    ready_s, ready_mb, idle_mb, wall_s = ([s[i] for s in served] for i in range(4))
    rows += [
        row("localassist serve, ready", ready_s, "CPU-s", bound="< 1.5"),
        row("  time on the clock", wall_s, "s"),
        row("  resident then", ready_mb, "MB"),
        row("  resident when idle, embedding model loaded", idle_mb, "MB"),
    ]
    return Measurement(
        name="startup",
        title="Start",
        method=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        caveats=["The modules' files are in the system's cache; after a restart of the machine the first start waits."],
        rows=rows,
        repeat="python -m benchmarks.run startup",
    )


def _processor_s_of(arguments: Sequence[str]) -> float:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}.")
    return usage.ru_utime + usage.ru_stime


def _served(home: Path) -> tuple[float, float, float, float]:
    started = time.perf_counter()
    with Server(home) as server:
        wall_s, ready_s, ready_mb = time.perf_counter() - started, processor_s(server.pid), resident_mb(server.pid)
        _wait_until_quiet(server.pid)
        return ready_s, ready_mb, resident_mb(server.pid), wall_s


def _wait_until_quiet(pid: int) -> None:
    """Wait until a process hardly works any more."""
    used_s = -1.0
    while processor_s(pid) - used_s > _QUIET_S / 20:
        used_s = processor_s(pid)
        time.sleep(_QUIET_S)
