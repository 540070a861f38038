"""Assistants."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.server.decode import body_of, page_of, path_of
from localassist.server.encode import answer
from localassist.types.assistant import AssistantCreateParams, AssistantUpdateParams
from localassist.wiring import Engine


def routes(engine: Engine) -> list[Route]:
    """Give the routes."""
    assistants = _Assistants(engine)
    one = "/assistants/{assistant_id}"
    return [
        Route("/assistants", assistants.create, methods=["POST"]),
        Route("/assistants", assistants.list, methods=["GET"]),
        Route(one, assistants.retrieve, methods=["GET"]),
        Route(one, assistants.update, methods=["POST"]),
        Route(one, assistants.delete, methods=["DELETE"]),
    ]


class _Assistants:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        return answer(await self._engine.assistants.create(await body_of(request, AssistantCreateParams)))

    async def list(self, request: Request) -> Response:
        return answer(await self._engine.assistants.list(page_of(request)))

    async def retrieve(self, request: Request) -> Response:
        return answer(await self._engine.assistants.retrieve(path_of(request, "assistant_id")))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, AssistantUpdateParams)
        return answer(await self._engine.assistants.update(path_of(request, "assistant_id"), params))

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.assistants.delete(path_of(request, "assistant_id")))
