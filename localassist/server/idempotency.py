"""`Idempotency-Key`: a request that is sent again, because its answer was lost, makes nothing twice.

Kept are answers that made something: JSON with a status of 2xx. An error may be different the next time, and a stream
is not kept: a run that is streamed can be followed again by its id. The body of a form is told apart by its length
alone, because every copy of it has a boundary of its own.
"""

import hashlib
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist.errors import APIError, BadRequestError
from localassist.resources.answers import Answers, Turn
from localassist.server.decode import MAX_JSON_BYTES
from localassist.server.errors import error_response

_MAX_KEY: Final = 255
_MAX_KEPT_BYTES: Final = 4 * 1024 * 1024


class Idempotency:
    """Answers a request that carries a known key as it was answered the first time."""

    def __init__(self, app: ASGIApp, *, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request, or give its first answer again."""
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        if not key or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            await self._answer(key, scope, receive, send)
        except APIError as error:
            await error_response(error)(scope, receive, send)

    async def _answer(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        if len(key) > _MAX_KEY:
            raise BadRequestError(f"The Idempotency-Key has {len(key)} characters; it may have {_MAX_KEY}.")
        body = _Body(receive)
        request = await _fingerprint(scope, body)
        async with self._answers.first(key, request) as found:
            if not isinstance(found, Turn):
                await body.drain()
                headers = {"idempotency-replayed": "true"}
                again = Response(found.body, found.status or 200, headers=headers, media_type="application/json")
                await again(scope, receive, send)
                return
            recorder = _Recorder(send)
            await self._app(scope, body.receive, recorder.send)
            found.answer = recorder.answer()
        await recorder.pass_on()  # once it is kept


class _Body:
    """The body of a request: read ahead if it is JSON, and given to the app all the same."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: list[Message] = []
        self._more = True

    async def read(self) -> bytes:
        """Read all of it, but stop where it is more than any request may have."""
        size = 0
        while self._more and size <= MAX_JSON_BYTES:
            size += len((await self._next()).get("body", b""))
        return b"".join([message.get("body", b"") for message in self._read])

    async def receive(self) -> Message:
        """Give the next message to the app."""
        if self._read:
            return self._read.pop(0)
        return await self._receive()

    async def drain(self) -> None:
        """Let the client finish: one that is still sending reads no answer."""
        while self._more:
            await self._next()
            self._read.clear()

    async def _next(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        self._read.append(message)
        return message


class _Recorder:
    """Holds an answer of JSON back until it is kept; everything else goes on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._holds = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self._holds = 200 <= message["status"] < 300 and kind.startswith("application/json")
        if self._holds:
            self._held.append(message)
        else:
            await self._send(message)

    def answer(self) -> tuple[int, str] | None:
        """Give what is to be kept, if anything."""
        if not self._held or self._held[-1].get("more_body", False):
            return None
        body = b"".join([message.get("body", b"") for message in self._held[1:]])
        return None if len(body) > _MAX_KEPT_BYTES else (self._held[0]["status"], body.decode())

    async def pass_on(self) -> None:
        for message in self._held:
            await self._send(message)


async def _fingerprint(scope: Scope, body: _Body) -> str:
    """Tell a request apart from others."""
    headers = Headers(scope=scope)
    what = [scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers.get("openai-beta", "")]
    is_form = headers.get("content-type", "").startswith("multipart/")
    contents = headers.get("content-length", "").encode() if is_form else await body.read()
    return hashlib.sha256("\n".join(what).encode() + b"\n\n" + contents).hexdigest()
