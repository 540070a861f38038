"""Threads and their messages."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.server.decode import body_of, page_of, path_of, text_of
from localassist.server.encode import answer, answer_messages
from localassist.types.message import MessageCreateParams, MessageUpdateParams
from localassist.types.thread import ThreadCreateParams, ThreadUpdateParams
from localassist.wiring import Engine


def routes(engine: Engine) -> list[Route]:
    """Give the routes."""
    threads, messages = _Threads(engine), _Messages(engine)
    thread, message = "/threads/{thread_id}", "/threads/{thread_id}/messages/{message_id}"
    return [
        Route("/threads", threads.create, methods=["POST"]),
        Route(thread, threads.retrieve, methods=["GET"]),
        Route(thread, threads.update, methods=["POST"]),
        Route(thread, threads.delete, methods=["DELETE"]),
        Route(f"{thread}/messages", messages.create, methods=["POST"]),
        Route(f"{thread}/messages", messages.list, methods=["GET"]),
        Route(message, messages.retrieve, methods=["GET"]),
        Route(message, messages.update, methods=["POST"]),
        Route(message, messages.delete, methods=["DELETE"]),
    ]


class _Threads:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        return answer(await self._engine.threads.create(await body_of(request, ThreadCreateParams)))

    async def retrieve(self, request: Request) -> Response:
        return answer(await self._engine.threads.retrieve(path_of(request, "thread_id")))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, ThreadUpdateParams)
        return answer(await self._engine.threads.update(path_of(request, "thread_id"), params))

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.threads.delete(path_of(request, "thread_id")))


class _Messages:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, MessageCreateParams)
        return answer((await self._engine.messages.create(path_of(request, "thread_id"), params)).rest())

    async def list(self, request: Request) -> Response:
        page = await self._engine.messages.list(
            path_of(request, "thread_id"), page_of(request), run_id=text_of(request, "run_id")
        )
        return answer_messages(page)

    async def retrieve(self, request: Request) -> Response:
        return answer((await self._engine.messages.retrieve(*_ids(request))).rest())

    async def update(self, request: Request) -> Response:
        params = await body_of(request, MessageUpdateParams)
        return answer((await self._engine.messages.update(*_ids(request), params)).rest())

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.messages.delete(*_ids(request)))


def _ids(request: Request) -> tuple[str, str]:
    return path_of(request, "thread_id"), path_of(request, "message_id")
