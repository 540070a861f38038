"""Who may knock: the bearer key, and no web page of somebody else's.

A server on this machine is within reach of every page that a browser on this machine shows. Three rules keep such pages
out, and no CORS header lets them in:

- A request with an `Origin` that is not this server's own is refused; programs send none, browsers always do when a
  page writes elsewhere. So is one that the browser itself marks as coming from another site (`Sec-Fetch-Site`).
- While the server listens on loopback only, `Host` must name this machine; a foreign name that resolves to 127.0.0.1
  (DNS rebinding) is refused.
- With `api_key` set, every request must carry it, but those to `/health` and `/`, which tell nothing but the version.
"""

import ipaddress
from collections.abc import Mapping
from hmac import compare_digest
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from localassist.errors import APIError, AuthenticationError
from localassist.server.errors import error_response

IN_PROCESS_HOST: Final = "localassist.local"
"""The `Host` of requests that never touch a socket."""

_OPEN_PATHS: Final = frozenset({"/", "/health"})


class ForbiddenError(APIError):
    """The request comes from where none may come."""

    status = 403
    type = "invalid_request_error"


class Doorkeeper:
    """Refuses who may not come in, and takes `/v1` off the path."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, loopback_only: bool) -> None:
        self._app = app
        self._api_key = api_key
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with what is wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        scope["asked_path"] = path
        if path.startswith("/v1/") and path != "/v1/":
            scope["path"] = path[3:]
            scope["raw_path"] = scope["path"].encode()
        try:
            self._admit(Headers(scope=scope), path)
        except APIError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admit(self, headers: Mapping[str, str], path: str) -> None:
        host = headers.get("host", "")
        if self._loopback_only and not names_this_machine(host):
            raise ForbiddenError(
                f"Refused: the request was addressed to {host!r}, but this server listens on this machine only. "
                "Address it as 127.0.0.1 or localhost, or start it with --host to be reached under other names."
            )
        check_origin(headers, host)
        if self._api_key is not None and path not in _OPEN_PATHS:
            check_key(headers.get("authorization", ""), self._api_key)


def check_key(authorization: str, expected: str) -> None:
    """Check the bearer key, in a time that does not depend on where it is wrong.

    Raises:
        AuthenticationError: it is missing or wrong.
    """
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise AuthenticationError(
            "You didn't provide an API key. This server wants the key it was started with (LOCALASSIST_API_KEY) "
            "as 'Authorization: Bearer KEY'."
        )
    if not compare_digest(key.encode(), expected.encode()):
        shown = key if len(key) <= 8 else f"{key[:3]}***{key[-2:]}"
        raise AuthenticationError(
            f"Incorrect API key provided: {shown}. "
            "This server accepts the key it was started with (LOCALASSIST_API_KEY).",
            code="invalid_api_key",
        )


def check_origin(headers: Mapping[str, str], host: str) -> None:
    """Check that no page of another site sent the request.

    Raises:
        ForbiddenError: one did.
    """
    origin = headers.get("origin")
    own = origin is None or origin.lower() in {f"http://{host}".lower(), f"https://{host}".lower()}
    if not own or headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise ForbiddenError(
            f"Refused: the request was made by a web page ({origin or 'of another site'}). "
            "Pages of other sites may not use this server."
        )


def names_this_machine(host: str) -> bool:
    """Say whether a `Host` header names this machine: `localhost`, a loopback address, or the in-process name."""
    name = host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.split(":", 1)[0]
    name = name.lower().rstrip(".")
    if name in {"localhost", IN_PROCESS_HOST} or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
