"""The models that this server knows by name. Others are served too, by the default model."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.errors import BadRequestError
from localassist.server.decode import path_of
from localassist.server.encode import answer
from localassist.wiring import Engine


class ConfiguredModelError(BadRequestError):
    """The model is in the settings, where alone it can be taken away."""

    status = 403

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The model '{name}' cannot be deleted over the API: it is named in this server's settings.", param="model"
        )


class UnknownModelError(BadRequestError):
    """No model has this name."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"The model '{name}' does not exist", param="model", code="model_not_found")


def routes(engine: Engine) -> list[Route]:
    """Give the routes."""
    models = _Models(engine)
    return [
        Route("/models", models.list, methods=["GET"]),
        Route("/models/{model:path}", models.retrieve, methods=["GET"]),
        Route("/models/{model:path}", models.delete, methods=["DELETE"]),
    ]


class _Models:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, _request: Request) -> Response:
        return answer({"object": "list", "data": [self._shown(name) for name in self._engine.models]})

    async def retrieve(self, request: Request) -> Response:
        name = path_of(request, "model")
        if name not in self._engine.models:
            raise UnknownModelError(name)
        return answer(self._shown(name))

    async def delete(self, request: Request) -> Response:
        name = path_of(request, "model")
        if name not in self._engine.models:
            raise UnknownModelError(name)
        raise ConfiguredModelError(name)

    def _shown(self, name: str) -> dict[str, object]:
        owner = name.split("/", 1)[0] if "/" in name else "localassist"
        return {"id": name, "object": "model", "created": self._engine.started_at, "owned_by": owner}
