"""Chat through any server that speaks the chat completions API: vLLM, llama.cpp, Ollama, LM Studio, and hosted ones.

The stream is read by hand: one JSON parse a chunk and no objects of a library, so our share stays small. The HTTP
below it is aiohttp's, which parses in C and wakes the reader without a layer in between.
"""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import certifi
import orjson

from localassist.egress import Egress, egress_error_in
from localassist.errors import EgressError, ModelError
from localassist.llm.base import ChatRequest, Delta, ModelInfo
from localassist.llm.failures import Refusal, model_error, read_refusal, too_long
from localassist.llm.sse import MAX_EVENT_BYTES, EventBuffer
from localassist.llm.wire import ReplyReader, request_body

_CONNECT_TIMEOUT_S: Final = 10.0
_KEEP_ALIVE_S: Final = 60.0
_MAX_HEADER_BYTES: Final = 64 * 1024
_DRAIN_TIMEOUT_S: Final = 0.2
_MAX_ERROR_BYTES: Final = 64 * 1024
_OPTIONAL: Final = ("stream_options", "parallel_tool_calls")  # what a request can do without, in this order
_GENERIC: Final = ("unknown", "unrecognized", "unexpected", "unsupported", "not supported", "extra", "not permitted")


class OpenAICompatibleModel:
    """A model server at `base_url`, which ends where `/chat/completions` begins.

    Connections are kept and used again. The length limit of a reply goes as `max_tokens`, which every server knows, or
    as `max_completion_tokens` where the server asks for it. What a server rejects and a call can do without is left
    out, and remembered for later calls.
    """

    def __init__(
        self,
        *,
        base_url: str,
        egress: Egress,
        api_key: str | None = None,
        info: ModelInfo | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix("/chat/completions")
        self._egress = egress
        self._info = info or ModelInfo()
        self._rejected: dict[str, set[str]] = {}
        headers = {"accept": "text/event-stream, application/json", "content-type": "application/json"}
        if api_key and not urlsplit(self.base_url).username:  # a name and password in the URL are sent instead
            headers["authorization"] = f"Bearer {api_key}"
        self._headers = headers
        self._ssl = _verified() if verify is True and self.base_url.startswith("https:") else verify
        self._session: aiohttp.ClientSession | None = None

    def info(self, model: str) -> ModelInfo:  # noqa: ARG002  one server, one description
        """Give what was configured; a server of this kind is asked nothing."""
        return self._info

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Call the model once and yield its reply as it comes.

        Raises:
            ModelError: the call failed, or its reply was cut.
            ContextLengthError: the prompt was longer than the model's context.
            EgressError: the settings do not allow the server.
        """
        self._egress.check(self.base_url)
        reader = ReplyReader(model=request.model, server=self.base_url)
        deadline = asyncio.get_running_loop().time() + request.timeout_s
        try:
            response = await self._open(request)
            try:
                async for delta in _read(response, _Reply(reader), deadline=deadline):
                    yield delta
            finally:
                response.close()  # of a body that was read to its end, the connection has gone back already
        except (aiohttp.ClientError, TimeoutError) as error:
            if not reader.finished:  # some servers drop the connection behind the last chunk
                raise self._transport_failure(error, reader, request) from error

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()

    def _connections(self) -> aiohttp.ClientSession:
        """Give the kept connections. They belong to the event loop of the first call."""
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=_KEEP_ALIVE_S,
                ssl=self._ssl,
                resolver=aiohttp.ThreadedResolver(),  # lookups of c-ares, used where it is found, would go unguarded
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                trust_env=False,  # a proxy named in the environment is a host that nobody allowed
                max_field_size=_MAX_HEADER_BYTES,
            )
        return self._session

    async def _open(self, request: ChatRequest) -> aiohttp.ClientResponse:
        """Send the request, without what the server rejects, and give its answer once its head has come.

        Raises:
            ModelError: the server refused it.
        """
        rejected = self._rejected.setdefault(request.model, set())
        while True:
            body = self._body(request, rejected)
            response = await self._send(orjson.dumps(body), request.timeout_s)
            if response.status == HTTPStatus.OK:
                return response
            try:
                refusal = read_refusal(response.status, await _error_body(response.content), response.headers)
            finally:
                response.close()
            named = any(name in refusal.words for name in request.extra)
            name = None if named else _rejects(refusal, body)
            if name is None:
                failure: ModelError = model_error(refusal, model=request.model, server=self.base_url)
                raise failure
            rejected.add(name)  # one less each time, so this ends

    async def _send(self, body: bytes, timeout_s: float) -> aiohttp.ClientResponse:
        """Post a body and give the answer once its head has come.

        Raises:
            ModelError: it cannot be sent this way.
            EgressError: the guard refused the connection.
            aiohttp.ClientConnectionError: no connection was made, or it was lost.
        """
        connect_s = min(_CONNECT_TIMEOUT_S, timeout_s)
        try:
            async with asyncio.timeout(connect_s + timeout_s):  # the library's own do not cover a server that reads not
                return await self._connections().post(
                    f"{self.base_url}/chat/completions",
                    data=io.BytesIO(body),  # bytes as they are would be written at one go
                    timeout=aiohttp.ClientTimeout(connect=connect_s, sock_read=timeout_s),
                    allow_redirects=False,
                )
        except aiohttp.ClientConnectionError:
            raise  # some of them are also a ValueError
        except (aiohttp.NonHttpUrlClientError, ValueError) as error:
            words = f"The base URL {self.base_url!r} or its API key cannot be used: {_cause(error)}."
            raise ModelError(words) from error
        except IndexError as error:  # of several addresses tried at once, every one was refused, and the words are lost
            raise EgressError(urlsplit(self.base_url).hostname or self.base_url) from error

    @staticmethod
    def _body(request: ChatRequest, rejected: set[str]) -> dict[str, Any]:
        body = request_body(request, model=request.model)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if "max_tokens" not in rejected and "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        return {name: value for name, value in body.items() if name not in rejected}

    def _transport_failure(self, error: Exception, reader: ReplyReader, request: ChatRequest) -> Exception:
        if refused := egress_error_in(error):
            return refused
        match error:
            case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
                return ModelError(
                    f"No model server answers at {self.base_url} ({_cause(error)}). Start the model server, or set the "
                    "base URL of one that runs.",
                    retryable=True,
                )
            case TimeoutError():
                return _timed_out(request, self.base_url)
        return reader.cut(_cause(error))


class _Reply:
    """The bytes of one answer, as the deltas they complete."""

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader
        self._events = EventBuffer()
        self.complete = False
        """Whether the server has said that nothing follows."""

    def feed(self, piece: bytes) -> Iterator[Delta]:
        """Read the next bytes of a stream."""
        return self._deltas(self._events.feed(piece))

    def end(self) -> Iterator[Delta]:
        """Read what the end of a stream completes.

        Raises:
            ModelError: the reply was not complete.
        """
        yield from self._deltas(self._events.finish())
        if self._reader.finished:
            return
        if words := self._events.other.strip().decode("utf-8", "replace"):
            raise ModelError(f"{self._reader.cut('the answer is no event stream')} It begins: {words[:200]!r}")
        raise self._reader.cut("the connection was closed")

    def whole(self, body: bytes) -> Iterator[Delta]:
        """Read a body that was declared as JSON: one reply, or events if it holds them all the same."""
        if body.lstrip().startswith(b"data:"):
            yield from self.feed(body)
            yield from self.end()
        else:
            yield from self._deltas([body, b"[DONE]"])

    def _deltas(self, payloads: Iterable[bytes]) -> Iterator[Delta]:
        for payload in payloads:
            if payload.strip() == b"[DONE]":
                self.complete = True
                delta = self._reader.done()
            else:
                delta = self._reader.read(self._parse(payload))
            if delta is not None:
                yield delta
            if self.complete:
                return

    def _parse(self, payload: bytes) -> Any:
        try:
            return orjson.loads(payload)
        except orjson.JSONDecodeError:
            pass  # the library takes half characters too, which servers write that cut a text between tokens
        try:
            return json.loads(payload)
        except ValueError as error:
            raise self._reader.cut(f"a chunk is not JSON ({payload[:120]!r})") from error


async def _read(response: aiohttp.ClientResponse, reply: _Reply, *, deadline: float) -> AsyncIterator[Delta]:
    """Yield the deltas of an answer, streamed or whole, until it is complete; then let the connection be used again.

    Raises:
        TimeoutError: the reply goes on beyond `deadline`, in the loop's time.
    """
    clock = asyncio.get_running_loop().time
    content = response.content
    if "application/json" in response.headers.get("content-type", ""):
        for delta in reply.whole(await _all(content)):
            yield delta
        return
    while piece := await _next(content):
        for delta in reply.feed(piece):
            yield delta
        if reply.complete:
            await _drain(content)
            return
        if clock() > deadline:
            raise TimeoutError("the reply took too long")
    for delta in reply.end():
        yield delta


async def _next(content: aiohttp.StreamReader) -> bytes:
    """Wait for the next bytes of a body; nothing at its end.

    Raises:
        aiohttp.ClientError: the body was cut, and what came before has been given.
        TimeoutError: the server fell silent, likewise.
    """
    try:
        return await content.readany()
    except (aiohttp.ClientError, TimeoutError):
        if rest := content._read_nowait(-1):  # the library keeps what has come unread, but gives its error first
            return rest
        raise


async def _all(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while piece := await _next(content):
        body += piece
        if len(body) > MAX_EVENT_BYTES:
            raise ModelError(f"The model server sent a reply of more than {MAX_EVENT_BYTES} bytes.")
    return bytes(body)


async def _drain(content: aiohttp.StreamReader) -> None:
    """Read the end of the body, which follows at once as a rule: only then can the connection be used again."""
    try:
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            while await content.readany():
                pass
    except (TimeoutError, aiohttp.ClientError):
        pass  # the reply is complete; a new connection costs little


async def _error_body(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < _MAX_ERROR_BYTES and (piece := await _next(content)):
        body += piece
    return body[:_MAX_ERROR_BYTES]


def _cause(error: Exception) -> str:
    """Say what went wrong with a connection, without what only the library's authors can read."""
    match error:
        case aiohttp.NonHttpUrlClientError():
            return "it begins neither with http:// nor with https://"
        case aiohttp.ClientPayloadError():
            return "its end is missing"
        case aiohttp.ClientResponseError():
            return error.message
        case aiohttp.ClientConnectorCertificateError():
            return str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return str(error.os_error)
    return str(error) or type(error).__name__


def _verified() -> ssl.SSLContext:
    """Trust the authorities that certifi lists, wherever the system keeps its own."""
    return ssl.create_default_context(cafile=certifi.where())


def _rejects(refusal: Refusal, body: Mapping[str, Any]) -> str | None:
    """Name the option that a server rejected and that can be left out or written otherwise, or None."""
    if refusal.status not in {400, 422, 501} or too_long(refusal):
        return None
    words = refusal.words.lower()
    if "max_tokens" in body and "max_tokens" in words and "max_completion_tokens" in words:
        return "max_tokens"
    for name in _OPTIONAL:
        if name in body and name in words:
            return name
    if "stream_options" in body and any(word in words for word in _GENERIC):
        return "stream_options"
    return None


def _timed_out(request: ChatRequest, server: str) -> ModelError:
    return ModelError(
        f"The model {request.model!r} at {server} did not answer within {request.timeout_s:g} seconds.", retryable=True
    )
