"""The app on a port, until a signal ends it."""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from localassist.config import Settings
from localassist.egress import ContextExecutor, guard_process
from localassist.errors import ConfigurationError
from localassist.server.app import build_app
from localassist.wiring import Engine

logger = logging.getLogger(__name__)

_OTHER_HOST: Final = "Choose another with --host: 127.0.0.1 for this machine alone, 0.0.0.0 for every network."

_GRACE_S: Final = 5
"""How long open streams may go on when the server ends."""

_KEEP_ALIVE_S: Final = 75
"""Longer than HTTP libraries keep idle connections, so that none sends a request into a connection being closed."""


async def serve(settings: Settings, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends without waiting for open streams. Prints nothing.

    Args:
        settings: what to serve, and where.
        on_ready: is called with the base URL once requests are answered.

    Raises:
        ConfigurationError: the address cannot be listened on, or a setting cannot be used.
    """
    listener = _listen(settings.host, settings.port)
    try:
        engine = Engine(settings)
        guard_process(engine.egress)
        asyncio.get_running_loop().set_default_executor(ContextExecutor(thread_name_prefix="localassist"))
        await engine.start()
        try:
            await _serve(engine, settings, listener, on_ready)
        finally:
            await engine.stop()
    finally:
        listener.close()


async def _serve(
    engine: Engine, settings: Settings, listener: socket.socket, on_ready: Callable[[str], None] | None
) -> None:
    config = uvicorn.Config(
        build_app(engine, settings),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )

    def ready() -> None:
        engine.warm_soon()
        if on_ready is not None:
            on_ready(_url(listener))

    server = _Server(config, ready)
    with _signals(server):
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that leaves the signals to `serve`: after one, the engine must still be stopped."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port, and tell that it is open."""
        await super().startup(sockets=sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield


@contextlib.contextmanager
def _signals(server: uvicorn.Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def end() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    taken: list[signal.Signals] = []
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
            taken.append(number)
    except (ValueError, RuntimeError, NotImplementedError):
        logger.debug("Not on the main thread: signals are left alone", extra={"action": "signals_left_alone"})
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"{host!r} is not an address of this machine: {error}. {_OTHER_HOST}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConfigurationError(f"{host} is not an address of this machine. {_OTHER_HOST}") from error
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port (0 takes a free one)."
        ) from error
    listener.settimeout(0)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
