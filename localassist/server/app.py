"""The routes, and what every request passes before it reaches one."""

from ipaddress import ip_address

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist._version import __version__
from localassist.config import Settings
from localassist.errors import APIError
from localassist.server.auth import Doorkeeper
from localassist.server.encode import answer
from localassist.server.errors import Boundary, on_api_error, on_http_error
from localassist.server.idempotency import Idempotency
from localassist.server.routes import assistants, completions, files, models, runs, threads, uploads, vector_stores
from localassist.server.v1 import routes as v1
from localassist.wiring import Engine


def build_app(engine: Engine, settings: Settings) -> Starlette:
    """Give the HTTP door of `engine`, which must have been started. Every path is served with and without `/v1`."""
    app = Starlette(
        routes=[
            Route("/", _welcome, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
            *v1.routes(engine),
            *assistants.routes(engine),
            *runs.routes(engine),
            *threads.routes(engine),
            *files.routes(engine, spool_folder=settings.home, max_file_bytes=settings.max_file_bytes),
            *uploads.routes(engine, spool_folder=settings.home),
            *vector_stores.routes(engine),
            *models.routes(engine),
            *completions.routes(engine),
        ],
        middleware=[
            Middleware(Boundary),
            Middleware(Doorkeeper, api_key=settings.api_key, loopback_only=_is_loopback(settings.host)),
            Middleware(Idempotency, answers=engine.answers),
        ],
        exception_handlers={APIError: on_api_error, HTTPException: on_http_error},
    )
    app.router.redirect_slashes = False
    return app


async def _welcome(request: Request) -> Response:
    """Say what this is to whoever opens the address in a browser."""
    return answer(
        {
            "name": "localassist",
            "version": __version__,
            "what": "The Assistants API on this machine, for programs; there is no page to look at.",
            "base_url": str(request.url.replace(path="/v1", query="")),
            "try": ["GET /health", "GET /v1/models", "GET /v1/assistants"],
        }
    )


async def _health(_request: Request) -> Response:
    return answer({"status": "ok", "version": __version__})


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
