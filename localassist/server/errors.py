"""Errors to the API's error body, and the headers that every answer carries."""

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

import orjson
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist.errors import APIError, LocalAssistError
from localassist.ids import new_id

logger = logging.getLogger(__name__)

API_VERSION: Final = "2020-10-01"
"""Source: recorded answers of the hosted API, header `openai-version`."""

_SERVED: Final = (
    "/v1/assistants",
    "/v1/threads",
    "/v1/files",
    "/v1/uploads",
    "/v1/vector_stores",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/embeddings",
)


def error_body(error: APIError) -> dict[str, Any]:
    """Give the API's error body."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def error_response(error: APIError, *, more: Mapping[str, Any] | None = None) -> Response:
    """Write an error as an answer, with `more` beside it in the body."""
    body = error_body(error) | dict(more or {})
    return Response(
        orjson.dumps(body), status_code=error.status, headers=error.headers(), media_type="application/json"
    )


async def on_api_error(request: Request, error: Exception) -> Response:
    """Answer an error that the API can express.

    Operations on files say it twice, under `detail` too. Source: recorded traffic of the hosted API.

    Raises:
        TypeError: it was registered for another kind of error.
    """
    if not isinstance(error, APIError):
        raise TypeError(f"Not an API error: {error!r}")
    if request.scope["path"].startswith("/files"):
        return error_response(error, more={"detail": {"message": error.message, "code": error.code}})
    return error_response(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer a path or method that no route has.

    Raises:
        TypeError: it was registered for another kind of error.
    """
    if not isinstance(error, HTTPException):
        raise TypeError(f"Not an HTTP error: {error!r}")
    headers = dict(error.headers or {})
    url = f"{request.method} {request.scope.get('asked_path', request.url.path)}"
    if error.status_code == 404:
        message, code = f"Invalid URL ({url}). {_where_to(url)}", None
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods_of(request)))
        message, code = f"Not allowed: {url}. This path takes {headers['Allow']}.", "method_not_supported"
    else:
        message, code = error.detail, None
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Response(orjson.dumps(body), status_code=error.status_code, headers=headers, media_type="application/json")


def _where_to(url: str) -> str:
    if "/v1/v1" in url:
        return "The base URL must end in one '/v1', not in two."
    return (
        f"This path is not part of localassist, which serves the Assistants API: {', '.join(_SERVED)}. "
        "What is covered is listed in docs/coverage.md."
    )


def _methods_of(request: Request) -> set[str]:
    """Give every method that a route takes on the request's path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route.methods or set() for route in routes if route.matches(request.scope)[0] is Match.PARTIAL]
    return set().union(*found)


class Boundary:
    """The outermost layer: every request gets an id, every answer its headers, every fault a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id("req")
        began = perf_counter()
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-version"] = API_VERSION
                headers["openai-processing-ms"] = str(max(1, round((perf_counter() - began) * 1000)))
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            logger.debug("A client went away", extra={"action": "client_gone", "request_id": request_id})
        except Exception as error:  # a client must get a body, whatever happened; the traceback goes to the log
            logger.exception(
                "Request failed",
                extra={"action": "request_failed", "request_id": request_id, "path": scope["path"]},
            )
            if not started:
                await _fault(error, request_id)(scope, receive, send_with_headers)


def _fault(error: Exception, request_id: str) -> Response:
    if isinstance(error, LocalAssistError):
        message = str(error)
    else:
        message = (
            "The server had an error processing your request. "
            f"This is a fault of localassist; its log has the traceback under {request_id}."
        )
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
    return Response(orjson.dumps(body), status_code=500, media_type="application/json")
