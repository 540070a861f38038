"""The embeddable library: the SDK's own clients over an engine in this process, without a socket.

    client = localassist.OpenAI(home="~/assistants")

is an `openai.OpenAI`: every method, pagination, streaming and event handlers included. Several clients of one home
share one engine; it stops when the last of them is closed or collected, or the program ends.
"""

import asyncio
import importlib
import queue
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openai

from localassist.config import Settings
from localassist.server.auth import IN_PROCESS_HOST
from localassist.server.inprocess import ClosedError, End, Exchange, Head, Lease, Piece, request_scope, take_engine
from localassist.wiring.engine import ProgressListener

if TYPE_CHECKING:
    import httpx as http
else:
    # The SDK uses `httpx` up to 2.x and `httpx2` from 3.x: whichever its own client is made of.
    _MADE_OF = {cls.__module__.partition(".")[0] for cls in openai.DefaultHttpxClient.__mro__}
    http = importlib.import_module("httpx2" if "httpx2" in _MADE_OF else "httpx")

_BASE_URL: Final = f"http://{IN_PROCESS_HOST}/v1"
_SMALL_BODY_BYTES: Final = 1024 * 1024


class OpenAI(openai.OpenAI):
    """`openai.OpenAI` over an engine in this process.

    Takes `home`, every other option of `Settings` by its name (or `settings` as a whole), and the SDK's own options.
    `on_progress` is called with a file's id and how far its indexing is, from the thread that indexes it.
    """

    def __init__(
        self,
        *,
        home: str | Path | None = None,
        model: str | None = None,
        settings: Settings | None = None,
        on_progress: ProgressListener | None = None,
        http_client: http.Client | None = None,
        **options: Any,
    ) -> None:
        client = http_client or _opened(SyncTransport, http.Client, home, model, settings, on_progress, options)
        super().__init__(**_sdk_options(options), http_client=client)


class AsyncOpenAI(openai.AsyncOpenAI):
    """`openai.AsyncOpenAI` over an engine in this process; usable from any asyncio loop.

    Takes `home`, every other option of `Settings` by its name (or `settings` as a whole), and the SDK's own options.
    `on_progress` is called with a file's id and how far its indexing is, from the thread that indexes it.
    """

    def __init__(
        self,
        *,
        home: str | Path | None = None,
        model: str | None = None,
        settings: Settings | None = None,
        on_progress: ProgressListener | None = None,
        http_client: http.AsyncClient | None = None,
        **options: Any,
    ) -> None:
        client = http_client or _opened(AsyncTransport, http.AsyncClient, home, model, settings, on_progress, options)
        super().__init__(**_sdk_options(options), http_client=client)


class SyncTransport(http.BaseTransport):
    """Carries the requests of a synchronous client to the engine."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def handle_request(self, request: http.Request) -> http.Response:
        """Carry out one request; the answer's body is read from it as the engine sends it.

        Raises:
            TypeError: the request was made by an asynchronous client.
        """
        if not isinstance(request.stream, http.SyncByteStream):
            raise TypeError("an asynchronous request came to a synchronous client")
        pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
        exchange = _start(self._lease, request, pieces.put)
        reader = _SyncReader(exchange, pieces, _read_timeout_s(request), request)
        try:
            for chunk in _and_end(request.stream):
                if not self._lease.thread.submit(exchange.feed(chunk)).result():
                    break
            return _response(reader.head(), _SyncBody(reader))
        except BaseException:
            exchange.leave()
            raise

    def close(self) -> None:
        """Give the engine back."""
        self._lease.give_back()


class AsyncTransport(http.AsyncBaseTransport):
    """Carries the requests of an asynchronous client to the engine."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def handle_async_request(self, request: http.Request) -> http.Response:
        """Carry out one request; the answer's body is read from it as the engine sends it.

        Raises:
            TypeError: the request was made by a synchronous client.
        """
        if not isinstance(request.stream, http.AsyncByteStream):
            raise TypeError("a synchronous request came to an asynchronous client")
        pieces: asyncio.Queue[Piece] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def deliver(piece: Piece) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:
                pass  # the reader's loop is closed: nobody waits any more

        exchange = _start(self._lease, request, deliver)
        reader = _AsyncReader(exchange, pieces, _read_timeout_s(request), request)
        try:
            async for chunk in request.stream:
                if not await asyncio.wrap_future(self._lease.thread.submit(exchange.feed(chunk))):
                    break
            else:
                await asyncio.wrap_future(self._lease.thread.submit(exchange.feed(None)))
            return _response(await reader.head(), _AsyncBody(reader))
        except BaseException:
            exchange.leave()
            raise

    async def aclose(self) -> None:
        """Give the engine back."""
        await asyncio.to_thread(self._lease.give_back)


class _SyncReader:
    """Waits for the pieces of an answer in the reader's thread."""

    def __init__(
        self, exchange: Exchange, pieces: "queue.SimpleQueue[Piece]", timeout_s: float | None, request: http.Request
    ) -> None:
        self.exchange = exchange
        self._pieces = pieces
        self._timeout_s = timeout_s
        self._request = request

    def next(self) -> Piece:
        try:
            return self._pieces.get(timeout=self._timeout_s)
        except queue.Empty:
            raise _read_timeout(self._timeout_s, self._request) from None

    def head(self) -> Head:
        return _must_be_head(self.next(), self._request)


class _AsyncReader:
    """Waits for the pieces of an answer in the reader's loop."""

    def __init__(
        self, exchange: Exchange, pieces: "asyncio.Queue[Piece]", timeout_s: float | None, request: http.Request
    ) -> None:
        self.exchange = exchange
        self._pieces = pieces
        self._timeout_s = timeout_s
        self._request = request

    async def next(self) -> Piece:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._pieces.get()
        except TimeoutError:
            raise _read_timeout(self._timeout_s, self._request) from None

    async def head(self) -> Head:
        return _must_be_head(await self.next(), self._request)


class _SyncBody(http.SyncByteStream):
    def __init__(self, reader: _SyncReader) -> None:
        self._reader = reader

    def __iter__(self) -> Iterator[bytes]:
        while isinstance(piece := self._reader.next(), bytes):
            self._reader.exchange.taken(len(piece))
            yield piece
        _must_be_whole(piece)

    def close(self) -> None:
        self._reader.exchange.leave()


class _AsyncBody(http.AsyncByteStream):
    def __init__(self, reader: _AsyncReader) -> None:
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(piece := await self._reader.next(), bytes):
            self._reader.exchange.taken(len(piece))
            yield piece
        _must_be_whole(piece)

    async def aclose(self) -> None:
        self._reader.exchange.leave()


def _opened(
    transport: Callable[[Lease], Any],
    client_class: Callable[..., Any],
    home: str | Path | None,
    model: str | None,
    settings: Settings | None,
    on_progress: ProgressListener | None,
    options: dict[str, Any],
) -> Any:
    chosen = {name: options[name] for name in options if name in Settings.model_fields and name != "api_key"}
    chosen |= {name: value for name, value in (("home", home), ("model", model)) if value is not None}
    if settings is not None and chosen:
        raise TypeError(f"give either settings or its options, not both: {', '.join(sorted(chosen))}")
    if "base_url" in options:
        raise TypeError("base_url is not an option here: the engine is in this process; use openai.OpenAI for a server")
    given = frozenset(Settings.model_fields) if settings is not None else frozenset(chosen)
    lease = take_engine(settings or Settings.load(**chosen), given=given - {"home"})
    if on_progress is not None:
        lease.listen(on_progress)
    client = client_class(transport=transport(lease), base_url=_BASE_URL, timeout=None)
    weakref.finalize(client, lease.give_back, wait=False).atexit = False
    return client


def _sdk_options(options: dict[str, Any]) -> dict[str, Any]:
    own = set(Settings.model_fields) - {"api_key"}
    sdk = {name: value for name, value in options.items() if name not in own}
    sdk.setdefault("base_url", _BASE_URL)
    if sdk.get("api_key") is None:
        sdk["api_key"] = "local"
    return sdk


def _start(lease: Lease, request: http.Request, deliver: Callable[[Piece], None]) -> Exchange:
    if lease.is_over:
        raise ClosedError("This client was closed.")
    path, _, query = request.url.raw_path.partition(b"?")
    return lease.thread.start(request_scope(request.method, path, query, request.headers.raw), deliver)


def _and_end(stream: http.SyncByteStream) -> Iterator[bytes | None]:
    yield from stream
    yield None


def _read_timeout_s(request: http.Request) -> float | None:
    timeout: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeout.get("read")


def _read_timeout(timeout_s: float | None, request: http.Request) -> Exception:
    return http.ReadTimeout(f"nothing came for {timeout_s} seconds", request=request)


def _must_be_head(piece: Piece, request: http.Request) -> Head:
    if isinstance(piece, Head):
        return piece
    error = piece.error if isinstance(piece, End) else None
    if isinstance(error, ClosedError):
        raise error
    raise http.ReadError("the engine ended without an answer", request=request) from error


def _must_be_whole(piece: Piece) -> None:
    if isinstance(piece, End) and piece.error is not None:
        raise http.ReadError("the answer broke off") from piece.error


def _response(head: Head, body: Any) -> http.Response:
    return http.Response(head.status, headers=list(head.headers), stream=body)
