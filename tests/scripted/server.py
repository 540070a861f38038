"""A scripted OpenAI-compatible server over real HTTP, for tests: it says what it is told, to the byte.

    with ScriptedServer() as server:
        server.reply(text("Hello"), tool_calls(call("file_search", {"queries": ["a"]})), error(429, "Slow down"))
        … OpenAICompatibleModel(base_url=server.base_url, …)
        server.requests[0].body["messages"]

A reply may also be a function of the request that gives a reply: `server.always(lambda request: text(…))` answers
everything that finds the queue empty. It runs in its own thread, so a test may block or run its own event loop.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True)
class Pause:
    """Wait this long before the next bytes; `forever` waits until the client goes or the server stops."""

    seconds: float = 0.0
    forever: bool = False


class Cut:
    """Drop the connection here."""


@dataclass(frozen=True)
class RecordedRequest:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    connection: int


@dataclass(frozen=True)
class Reply:
    """An answer, as the pieces that are written to the socket one by one. `chunked` frames each of them."""

    pieces: Sequence[bytes | Pause | Cut] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = True

    def split(self, size: int) -> "Reply":
        """The same bytes in packets of `size`, without regard to lines or characters."""
        pieces: list[bytes | Pause | Cut] = []
        for piece in self.pieces:
            if isinstance(piece, bytes):
                pieces += [piece[i : i + size] for i in range(0, len(piece), size)]
            else:
                pieces.append(piece)
        return replace(self, pieces=pieces)

    def in_one_packet(self) -> "Reply":
        return replace(self, pieces=[b"".join(piece for piece in self.pieces if isinstance(piece, bytes))])

    def with_crlf(self) -> "Reply":
        return replace(self, pieces=[p.replace(b"\n", b"\r\n") if isinstance(p, bytes) else p for p in self.pieces])

    def with_comments(self) -> "Reply":
        """Comments, event names and empty lines between the events, as keep-alives are sent."""
        noise = b": keep-alive\n\nevent: message\nid: 7\nretry: 100\n"
        return replace(self, pieces=[noise + p if isinstance(p, bytes) else p for p in self.pieces])

    def cut_after(self, n_pieces: int) -> "Reply":
        return replace(self, pieces=[*self.pieces[:n_pieces], Cut()])

    def ended_after(self, n_pieces: int) -> "Reply":
        """The body ends there, properly framed, although the reply is not complete."""
        return replace(self, pieces=self.pieces[:n_pieces])

    def delayed(self, seconds: float) -> "Reply":
        return replace(self, pieces=[Pause(seconds), *self.pieces])

    def hanging_after(self, n_pieces: int) -> "Reply":
        return replace(self, pieces=[*self.pieces[:n_pieces], Pause(forever=True)])


Answer = Reply | Callable[[RecordedRequest], Reply]

USAGE: Json = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_SSE = {"content-type": "text/event-stream; charset=utf-8"}
_JSON = {"content-type": "application/json"}


def event(content: Any) -> bytes:
    """One server-sent event; a string is sent as it is."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(delta: Json | None = None, *, finish: str | None = None, usage: Json | None = None, **more: Any) -> Json:
    """One chunk of a streamed chat completion."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    made: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return made | {"choices": choices} | ({"usage": usage} if usage else {}) | more


def events(chunks: Iterable[Any], *, done: bool = True) -> Reply:
    """A stream of these chunks, one packet each."""
    return Reply([event(c) for c in chunks] + ([event("[DONE]")] if done else []), headers=_SSE)


def text(content: str | Sequence[str], *, usage: Json | None = USAGE, finish: str | None = "stop") -> Reply:
    """A streamed text; a string goes word by word."""
    words = [w + " " for w in content.split(" ")] if isinstance(content, str) else list(content)
    if isinstance(content, str) and words:
        words[-1] = words[-1][:-1]
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": w}) for w in words)]
    if finish is not None:
        chunks.append(chunk({}, finish=finish))
    if usage:
        chunks.append(chunk(None, usage=usage))
    return events(chunks)


def call(name: str, arguments: Json | str, *, call_id: str | None = None) -> Json:
    """A whole tool call, for `tool_calls` and `whole`."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    made: Json = {"type": "function", "function": {"name": name, "arguments": written}}
    return made if call_id == "" else {"id": call_id or f"call_{name}", **made}


def tool_calls(*calls: Json, said: str = "", size: int = 4, usage: Json | None = USAGE) -> Reply:
    """Tool calls as OpenAI streams them: id and name first, then the arguments in fragments of `size` characters."""
    chunks = [chunk({"role": "assistant", "content": said or None})]
    for index, made in enumerate(calls):
        arguments = made["function"]["arguments"]
        head = made | {"index": index, "function": made["function"] | {"arguments": ""}}
        chunks.append(chunk({"tool_calls": [head]}))
        chunks += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments[i : i + size]}}]})
            for i in range(0, len(arguments), size)
        ]
    chunks.append(chunk({}, finish="tool_calls"))
    if usage:
        chunks.append(chunk(None, usage=usage))
    return events(chunks)


def fragments(*deltas: Sequence[Json], finish: str = "tool_calls") -> Reply:
    """Each argument is the `tool_calls` list of one chunk, as it stands."""
    return events([*(chunk({"tool_calls": list(d)}) for d in deltas), chunk({}, finish=finish)])


def whole(content: str | None, *calls: Json, finish: str | None = None, usage: Json | None = USAGE) -> Reply:
    """An unstreamed reply, also where a stream was asked for."""
    message: Json = {"role": "assistant", "content": content} | ({"tool_calls": list(calls)} if calls else {})
    reason = finish or ("tool_calls" if calls else "stop")
    choices = [{"index": 0, "message": message, "finish_reason": reason}]
    made = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted", "choices": choices}
    return json_body(made | ({"usage": usage} if usage else {}))


def json_body(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Any JSON body."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Reply([body], status, _JSON | dict(headers or {}), chunked=False)


def error(status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in OpenAI's form."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return json_body(body, status=status, headers=headers)


def raw(body: bytes, *, status: int = 200, content_type: str = "text/event-stream") -> Reply:
    """Any body."""
    return Reply([body], status, {"content-type": content_type})


def unless(option: str, message: str, answer: Reply) -> Callable[[RecordedRequest], Reply]:
    """A server that answers 400 as long as the request holds this option."""
    return lambda request: error(400, message) if option in request.body else answer


class ScriptedServer:
    """The server; `base_url` ends in /v1. Answers come from the queue, then from `always`, then as error 500."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self._queue: deque[Answer] = deque()
        self._always: Answer = error(500, "The script has no reply left.")
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._n_connections = 0
        self._stopped = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted-server", daemon=True)
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Json]:
        """The bodies of the chat requests so far."""
        return [r.body for r in self.requests if r.path.endswith("/chat/completions")]

    def reply(self, *answers: Answer) -> Self:
        """Queue these answers for the next chat requests."""
        self._queue.extend(answers)
        return self

    def clear(self) -> Self:
        """Forget the requests so far, and the answers that are left."""
        self.requests.clear()
        self._queue.clear()
        return self.always(error(500, "The script has no reply left."))

    def always(self, answer: Answer) -> Self:
        """Answer every chat request that finds the queue empty."""
        self._always = answer
        return self

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0)  # a connection that has just ended closes its socket in the loop's next turn

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._n_connections += 1
        connection = self._n_connections
        try:
            while (request := await _read_request(reader, connection)) is not None:
                self.requests.append(request)
                if not await _write(writer, self._answer(request)):
                    break
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass  # the client went, or the server stops
        finally:
            self._connections.discard(task)
            writer.close()

    def _answer(self, request: RecordedRequest) -> Reply:
        if request.path.endswith("/models"):
            return json_body({"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "tests"}]})
        if request.path.endswith("/embeddings"):
            return _embeddings(request.body)
        if not request.path.endswith("/chat/completions"):
            return error(404, f"No such path: {request.path}")
        answer = self._queue.popleft() if self._queue else self._always
        return answer(request) if callable(answer) else answer


def _embeddings(body: Json) -> Reply:
    """Vectors of 8 numbers: how often each class of characters occurs, of length 1."""
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = []
    for index, content in enumerate(inputs):
        counts = [1.0] * 8
        for character in str(content):
            counts[ord(character) % 8] += 1.0
        length = sum(c * c for c in counts) ** 0.5
        data.append({"object": "embedding", "index": index, "embedding": [c / length for c in counts]})
    usage = {"prompt_tokens": len(inputs), "total_tokens": len(inputs)}
    return json_body({"object": "list", "data": data, "model": body.get("model", ""), "usage": usage})


async def _read_request(reader: asyncio.StreamReader, connection: int) -> RecordedRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RecordedRequest(method, path, headers, json.loads(body) if body else None, connection)


async def _write(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Write an answer; False when the connection was cut."""
    headers = dict(reply.headers)
    if reply.chunked:
        headers["transfer-encoding"] = "chunked"
    else:
        headers["content-length"] = str(sum(len(p) for p in reply.pieces if isinstance(p, bytes)))
    head = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
    for piece in reply.pieces:
        match piece:
            case Pause(forever=True):
                await asyncio.Event().wait()
            case Pause():
                await asyncio.sleep(piece.seconds)
            case Cut():
                await writer.drain()
                writer.transport.abort()
                return False
            case bytes():
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
                await writer.drain()
    if reply.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
