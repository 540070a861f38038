"""Our own time in a run, and what a streamed chunk costs on its way from the model's socket to the client's.

The model, `localassist serve` and the client are three processes that speak over loopback. Our own time is from the
client's POST until the model has the request, and from the model's last byte until the client has
`thread.run.completed`: what the model writes in between is its own time. The cost of a chunk is the processor time of
the whole server process, of a long reply less that of a short one, for each chunk that the long one has more.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import Client, Server, processor_s
from benchmarks.measurement import Measurement, Row, quantile, row
from benchmarks.model_server import ModelServer

_FEW = 20
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class OneRun:
    """What one streamed run took; the processor's time is the server's."""

    own_ms: float
    before_ms: float
    after_ms: float
    cpu_s: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--n", type=int, default=200, help="short runs")
    parser.add_argument("--chunks", type=int, default=2000, help="chunks of a long reply")
    parser.add_argument("--rounds", type=int, default=5, help="long replies of each pace")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure."""
    with tempfile.TemporaryDirectory() as home, ModelServer() as model:
        rows = [
            *_own_time(Path(home), model, n=options.n),
            *_per_chunk(Path(home), model, n_chunks=options.chunks, n_rounds=options.rounds),
        ]
    return Measurement(
        name="runs",
        title="Runs",
        method=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        caveats=[
            "The thread holds one short message and the assistant has no tools: neither a long prompt nor a search is "
            "part of it.",
            "The client is a bare HTTP client; the openai SDK adds its own 0.2 to 0.3 ms of processor time a chunk.",
        ],
        rows=rows,
        repeat="python -m benchmarks.run runs",
    )


def _own_time(home: Path, model: ModelServer, *, n: int) -> list[Row]:
    with _server(home, model, n_words=_FEW, pause_ms=0) as server:
        bench = RunBench(server, model)
        found = [bench.run() for _ in range(_WARM_UP + n)][_WARM_UP:]
    own = [r.own_ms for r in found]
    p95 = quantile(own, 0.95)
    return [
        row("own time of a run, median", own, "ms", bound="< 10"),
        Row("own time of a run, 95 % of runs within", p95, "ms", min(own), max(own), n, "< 10"),
        row("  from POST until the model has the request", [r.before_ms for r in found], "ms"),
        row("  from the model's last byte until completed", [r.after_ms for r in found], "ms"),
        row(f"processor time of a run of {_FEW} chunks", [1000 * r.cpu_s for r in found], "ms"),
    ]


def _per_chunk(home: Path, model: ModelServer, *, n_chunks: int, n_rounds: int) -> list[Row]:
    rows = []
    for pace, pause_ms in (("one by one", 1), ("in a burst", 0)):
        with _server(home, model, n_words=_FEW, pause_ms=pause_ms) as server:
            bench = RunBench(server, model)
            short = sorted(bench.run().cpu_s for _ in range(_WARM_UP + n_rounds))[(_WARM_UP + n_rounds) // 2]
        with _server(home, model, n_words=n_chunks, pause_ms=pause_ms) as server:
            bench = RunBench(server, model)
            found = [bench.run().cpu_s for _ in range(1 + n_rounds)][1:]
        costs = [1000 * (cpu_s - short) / (n_chunks - _FEW) for cpu_s in found]
        rows.append(row(f"processor time of a chunk, sent {pace}", costs, "ms", bound="< 0.3"))
    return rows


def _server(home: Path, model: ModelServer, *, n_words: int, pause_ms: int) -> Server:
    return Server(home, "--model", f"words-{n_words}-{pause_ms}", "--model-base-url", model.url)


class RunBench:
    """Streamed runs, each on a thread of its own."""

    def __init__(self, server: Server, model: ModelServer) -> None:
        self._server = server
        self._model = model
        self._client = Client(server.host)
        self._assistant = self._client.call("POST", "/assistants", {"model": "any"})["id"]

    def run(self) -> OneRun:
        """Carry out one run, streamed."""
        message = {"role": "user", "content": "Say something."}
        thread = self._client.call("POST", "/threads", {"messages": [message]})["id"]
        cpu_s, posted = processor_s(self._server.pid), time.perf_counter()
        answer = self._client.open("POST", f"/threads/{thread}/runs", {"assistant_id": self._assistant, "stream": True})
        seen = b""
        while b"event: thread.run.completed" not in seen:
            piece = answer.read1(65536)
            if not piece:
                raise SystemExit(f"The run did not complete: {seen[-500:]!r}")
            seen = seen[-40:] + piece
        completed = time.perf_counter()
        answer.read()
        came, written = self._model.served()
        cpu_s = processor_s(self._server.pid) - cpu_s
        before_ms, after_ms = 1000 * (came - posted), 1000 * (completed - written)
        return OneRun(before_ms + after_ms, before_ms, after_ms, cpu_s)
