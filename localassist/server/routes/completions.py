"""Chat completions and embeddings, so that one base URL serves a whole program."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from localassist.errors import APIError
from localassist.server.decode import body_of
from localassist.server.encode import answer
from localassist.server.errors import error_body
from localassist.types.completion import ChatCompletionParams, EmbeddingParams
from localassist.wiring import Engine

_DONE: Final = b"data: [DONE]\n\n"


def routes(engine: Engine) -> list[Route]:
    """Give the routes."""
    completions = _Completions(engine)
    return [
        Route("/chat/completions", completions.create, methods=["POST"]),
        Route("/embeddings", completions.embed, methods=["POST"]),
    ]


class _Completions:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, ChatCompletionParams)
        if params.stream:
            return ChunkStream(await self._engine.completions.stream(params))
        return answer(await self._engine.completions.create(params))

    async def embed(self, request: Request) -> Response:
        params = await body_of(request, EmbeddingParams)
        return answer(await self._engine.embeddings.create(params))


class ChunkStream(StreamingResponse):
    """Chunks as server-sent events. When the client goes away the model's reply is given up."""

    def __init__(self, chunks: AsyncGenerator[dict[str, Any], None]) -> None:
        self._chunks = chunks
        super().__init__(
            _encoded(chunks),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        async with aclosing(self._chunks):
            await super().__call__(scope, receive, send)


async def _encoded(chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Write chunks; an error behind the first is told in the stream, in the form that the SDK raises."""
    try:
        async for chunk in chunks:
            yield b"data: " + orjson.dumps(chunk) + b"\n\n"
    except APIError as error:
        yield b"data: " + orjson.dumps(error_body(error)) + b"\n\n"
        return
    yield _DONE
