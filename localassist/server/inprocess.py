"""The app called in this process, without a socket: the engine on a thread of its own, and one request at a time to it.

An answer reaches its reader piece by piece as the app sends it, so a stream streams.
"""

import asyncio
import atexit
import contextvars
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from localassist.config import Settings
from localassist.egress import ContextExecutor
from localassist.errors import ConfigurationError, LocalAssistError
from localassist.server.app import build_app
from localassist.server.auth import IN_PROCESS_HOST
from localassist.wiring import Engine
from localassist.wiring.engine import ProgressListener

logger = logging.getLogger(__name__)

T = TypeVar("T")
RawHeaders = Sequence[tuple[bytes, bytes]]

_STOP_S: Final = 10.0
_MAX_AHEAD_BYTES: Final = 1024 * 1024
"""How far the app may be ahead of a slow reader."""


class ClosedError(LocalAssistError):
    """The client was closed, or belongs to the process that this one was forked from."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer."""

    status: int
    headers: RawHeaders


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer; with `error`, one that it should not have come to."""

    error: BaseException | None = None


Piece = Head | bytes | End


class Exchange:
    """One request and its answer. Lives on the engine's loop; `deliver` hands pieces over to the reader's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Piece], None]) -> None:
        self._loop = loop
        self._deliver = deliver
        self._body: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=4)
        self._body_ended = False
        self._gone = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ahead = 0
        self._over = asyncio.Event()

    async def run(self, app: ASGIApp, scope: Mapping[str, Any]) -> None:
        """Carry out the request."""
        error: BaseException | None = None
        try:
            await app(dict(scope), self._receive, self._send)
        except asyncio.CancelledError:
            error = ClosedError("localassist was closed while it answered.")
        except Exception as fault:  # noqa: BLE001 - a reader waits for the end; what remains here is its transport's error
            error = fault
        finally:
            self._over.set()
            self._deliver(End(error))

    async def feed(self, chunk: bytes | None) -> bool:
        """Hand a piece of the body to the app, None for its end; False when the app wants no more."""
        put = asyncio.ensure_future(self._body.put(chunk))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((put, over), return_when=asyncio.FIRST_COMPLETED)
            return put.done()
        finally:
            put.cancel()
            over.cancel()

    def leave(self) -> None:
        """The reader wants no more. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._leave)

    def taken(self, size: int) -> None:
        """The reader has taken so many bytes. May be called from any thread."""
        self._loop.call_soon_threadsafe(self._taken, size)

    def _leave(self) -> None:
        self._gone.set()
        self._room.set()

    def _taken(self, size: int) -> None:
        self._ahead -= size
        if self._ahead <= _MAX_AHEAD_BYTES:
            self._room.set()

    async def _receive(self) -> Message:
        if not self._body_ended:
            chunk = await self._next_chunk()
            if chunk is not None:
                return {"type": "http.request", "body": chunk, "more_body": True}
            self._body_ended = True
            if not self._gone.is_set():
                return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _next_chunk(self) -> bytes | None:
        if not self._body.empty():
            return self._body.get_nowait()
        get = asyncio.ensure_future(self._body.get())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((get, gone), return_when=asyncio.FIRST_COMPLETED)
            return get.result() if get.done() else None
        finally:
            get.cancel()
            gone.cancel()

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._deliver(Head(message["status"], list(message.get("headers", ()))))
            return
        data = message.get("body", b"")
        if data and not self._gone.is_set():
            self._ahead += len(data)
            if self._ahead > _MAX_AHEAD_BYTES:
                self._room.clear()
            self._deliver(data)
            await self._room.wait()


def request_scope(method: str, raw_path: bytes, query: bytes, headers: RawHeaders) -> dict[str, Any]:
    """Give the ASGI scope of a request that never touches a socket."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("ascii", "replace")),
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("127.0.0.1", 0),
        "server": (IN_PROCESS_HOST, 80),
    }


class EngineThread:
    """An engine on a loop and a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._process_id = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="localassist", daemon=True)
        self._thread.start()
        self._exchanges: set[asyncio.Task[None]] = set()
        self._closed = False
        self._context = contextvars.Context()
        self._engine: Engine | None = None
        try:
            self._app = self._wait(self._open())
        except BaseException:
            self._end_loop()
            raise

    def start(self, scope: Mapping[str, Any], deliver: Callable[[Piece], None]) -> Exchange:
        """Begin a request; its body is fed to the exchange, its answer comes through `deliver`.

        Raises:
            ClosedError: the engine was closed, or this is a fork of the process that has it.
        """
        if os.getpid() != self._process_id:
            raise ClosedError(
                f"This client was made in process {self._process_id}, and process {os.getpid()} was forked from it. "
                "Threads do not survive a fork: make a client in each process, after the fork."
            )
        if self._closed:
            raise ClosedError("This client was closed.")
        exchange = Exchange(self._loop, deliver)
        self._loop.call_soon_threadsafe(self._begin, exchange, scope)
        return exchange

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run `work` on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Stop the engine and its thread; what is under way is left to be taken up again. Does nothing in a fork."""
        if self._closed or os.getpid() != self._process_id:
            return
        self._closed = True
        try:
            self._wait(self._close(), timeout_s=_STOP_S)
        except TimeoutError:
            logger.warning("The engine did not stop in time", extra={"action": "engine_stop_timeout"})
        finally:
            self._end_loop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _open(self) -> ASGIApp:
        engine = Engine(self.settings)
        self._loop.set_default_executor(ContextExecutor(thread_name_prefix="localassist"))
        with engine.egress.guarding():
            self._context = contextvars.copy_context()
            await engine.start()
        self._engine = engine
        self.progress_listeners = engine.progress_listeners
        # Nobody but this process's own code can knock at this door.
        return build_app(engine, self.settings.model_copy(update={"api_key": None, "host": "127.0.0.1"}))

    async def _close(self) -> None:
        for task in list(self._exchanges):
            task.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        if self._engine is not None:
            await self._engine.stop()
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)

    def _begin(self, exchange: Exchange, scope: Mapping[str, Any]) -> None:
        task = self._loop.create_task(exchange.run(self._app, scope), context=self._context.copy())
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)


class Lease:
    """A client's share of an engine; the engine stops when the last share is given back."""

    def __init__(self, thread: EngineThread) -> None:
        self.thread = thread
        self._given_back = False
        self._listener: ProgressListener | None = None

    def listen(self, listener: ProgressListener) -> None:
        """Tell `listener` how far the files are that this engine indexes, until the share is given back."""
        self._listener = listener
        self.thread.progress_listeners.append(listener)

    @property
    def is_over(self) -> bool:
        """Whether it was given back."""
        return self._given_back

    def give_back(self, *, wait: bool = True) -> None:
        """Give the share back; without `wait`, a last one stops the engine in the background."""
        if not self._given_back:
            self._given_back = True
            if self._listener is not None:
                self.thread.progress_listeners.remove(self._listener)
            _SHARED.give_back(self.thread, wait=wait)


class _SharedEngines:
    """The engines of this process by home: several clients of one home share one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process_id = os.getpid()
        self._open: dict[Path, EngineThread] = {}
        self._shares: dict[EngineThread, int] = {}

    def take(self, settings: Settings, *, given: frozenset[str]) -> Lease:
        with self._lock:
            if os.getpid() != self._process_id:  # a fork inherits the table, not the threads
                self._process_id = os.getpid()
                self._open, self._shares = {}, {}
            thread = self._open.get(settings.home)
            if thread is None:
                thread = EngineThread(settings)
                self._open[settings.home] = thread
                self._shares[thread] = 0
            else:
                _must_agree(thread.settings, settings, given)
            self._shares[thread] += 1
            return Lease(thread)

    def give_back(self, thread: EngineThread, *, wait: bool) -> None:
        with self._lock:
            if thread not in self._shares:
                return
            self._shares[thread] -= 1
            if self._shares[thread] > 0:
                return
            del self._shares[thread]
            self._open = {home: other for home, other in self._open.items() if other is not thread}
        if wait:
            thread.close()
        else:
            threading.Thread(target=thread.close, name="localassist-close", daemon=True).start()

    def close_all(self) -> None:
        with self._lock:
            threads, self._open, self._shares = list(self._shares), {}, {}
        for thread in threads:
            thread.close()


_SHARED: Final = _SharedEngines()


def take_engine(settings: Settings, *, given: frozenset[str]) -> Lease:
    """Give a share of the engine of `settings.home`; opens it if this process has none.

    Args:
        settings: what to open it with.
        given: the names of the settings that the caller chose; an engine that is open already must agree in these.

    Raises:
        ConfigurationError: the home is open in this process with other settings.
    """
    return _SHARED.take(settings, given=given)


def _must_agree(opened: Settings, wanted: Settings, given: frozenset[str]) -> None:
    differing = [name for name in sorted(given) if getattr(opened, name) != getattr(wanted, name)]
    if differing:
        raise ConfigurationError(
            f"{wanted.home} is open in this process with other settings: "
            + ", ".join(f"{name} = {getattr(opened, name)!r}, not {getattr(wanted, name)!r}" for name in differing)
            + ". Close the other client first, or use another home."
        )


# Threads of executors are joined before `atexit` callbacks run, and with them every embedding under way. The hook that
# runs before them is not public; without it an engine that nobody closed stops later, but stops.
_at_exit: Callable[[Callable[[], None]], Any] = getattr(threading, "_register_atexit", atexit.register)
_at_exit(_SHARED.close_all)
