"""Events to server-sent events."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localassist.runs.events import Event
from localassist.types.run_step import without_contents

logger = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
DONE: Final = b"event: done\ndata: [DONE]\n\n"
_COMMENT: Final = b": keep-alive\n\n"
_GOODBYE_S: Final = 1.0
_STOPPING: Final = "The server is being stopped; the run goes on when it is started again, and can be retrieved."


def encoded(events: Sequence[Event], *, with_contents: bool = True) -> bytes:
    """Give events as records of the stream: their name, their data, an empty line.

    Without `with_contents` the texts of search results are left out, which the log holds in any case.
    """
    return "".join(
        [f"event: {event.name}\ndata: {event.data if with_contents else _shown(event)}\n\n" for event in events]
    ).encode()


def _shown(event: Event) -> str:
    if not event.name.startswith("thread.run.step.") or event.name.endswith(".delta") or '"content":' not in event.data:
        return event.data
    return orjson.dumps(without_contents(orjson.loads(event.data))).decode()


class EventStream(Response):
    """An answer that follows a run until its stream ends or the client goes away; the run itself goes on."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncIterator[Sequence[Event]], *, with_contents: bool = True, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._with_contents = with_contents
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the stream. When the server is stopped meanwhile, the client is told, and nothing is raised."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        wire = _Wire(send)
        tasks = (
            asyncio.create_task(self._send_events(wire)),
            asyncio.create_task(_until_gone(receive)),
            asyncio.create_task(wire.keep_alive(self._keep_alive_s)),
        )
        done: set[asyncio.Task[None]] = set()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _stop(tasks)
            await wire.say_goodbye(_STOPPING)
        finally:
            await _stop(tasks)
        for task in done:
            task.result()

    async def _send_events(self, wire: "_Wire") -> None:
        try:
            async for batch in self._events:
                await wire.send(encoded(batch, with_contents=self._with_contents))
        except Exception:
            await wire.send(_error("The stream broke off; the run goes on and can be retrieved."))
            await wire.end()
            raise
        finally:
            close: Any = getattr(self._events, "aclose", None)
            if close is not None:
                await close()
        await wire.send(DONE)
        await wire.end()


def _error(message: str) -> bytes:
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
    return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Wire:
    """The way to the client, and when it was last used."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._used_at = self._loop.time()

    async def send(self, data: bytes) -> None:
        self._used_at = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def say_goodbye(self, message: str) -> None:
        """Tell a client why its stream ends; one that does not read is not waited for."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self.send(_error(message))
                await self.end()
        except (TimeoutError, OSError):
            logger.debug("A client could not be told of the end", extra={"action": "goodbye_failed"})

    async def keep_alive(self, every_s: float) -> None:
        """Send a comment whenever nothing was sent for `every_s`, so that nobody on the way takes it for dead."""
        while True:
            await asyncio.sleep(self._used_at + every_s - self._loop.time())
            if self._loop.time() - self._used_at >= every_s:
                await self.send(_COMMENT)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
