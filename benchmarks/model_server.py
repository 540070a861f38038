"""A model's server that writes what its model's name says: `python -m benchmarks.model_server`, a process of its own.

The model `words-200-1` answers with 200 chunks of one word, one millisecond apart; 0 sends them in a burst. It prints
its URL, and then a line for every request: when it had come and when its answer had been written, in seconds of
`time.perf_counter`, which all processes of a machine share on Linux.
"""

import asyncio
import json
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

from benchmarks.machine import ROOT

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class ModelServer:
    """The server as a child process; `served` gives its times."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.model_server"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.url = self._line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def served(self) -> tuple[float, float]:
        """Wait for the next answer to be written; give when its request had come, and when it was written."""
        came, written = json.loads(self._line())
        return came, written

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


async def _serve() -> None:
    server = await asyncio.start_server(_connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        size = next(int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(size))
        came = time.perf_counter()
        _, n_words, pause_ms = str(body["model"]).split("-")
        await _answer(writer, int(n_words), int(pause_ms) / 1000)
        print(json.dumps([came, time.perf_counter()]), flush=True)


async def _answer(writer: asyncio.StreamWriter, n_words: int, pause_s: float) -> None:
    writer.write(_HEAD)
    for number in range(n_words):
        writer.write(_chunk({"content": f"word{number} "}))
        if pause_s:
            await asyncio.sleep(pause_s)
    usage = {"prompt_tokens": 10, "completion_tokens": n_words, "total_tokens": 10 + n_words}
    writer.write(_chunk({}, finish="stop", usage=usage) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


def _chunk(delta: dict[str, str], *, finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "words", "choices": [choice]}
    return _framed(f"data: {json.dumps(body | ({'usage': usage} if usage else {}))}\n\n".encode())


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


if __name__ == "__main__":
    asyncio.run(_serve())
