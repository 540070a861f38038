"""Path, query and JSON to typed arguments; what does not fit is refused in the API's own words."""

from typing import Any, Final, TypeVar, get_args

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from localassist.errors import BadRequestError, PayloadTooLargeError
from localassist.server.complaints import above, below, complain, supported
from localassist.store.pages import PageQuery
from localassist.types.vector_store import VectorStoreFileStatus

MAX_JSON_BYTES: Final = 32 * 1024 * 1024
"""Far above the longest body that the API's own limits allow in practice: 500 vector store ids, 256,000 characters."""

MAX_JSON_DEPTH: Final = 100
"""What is kept must be written again inside other objects, and JSON writers give up at about 250 levels."""

RESULT_CONTENT: Final = "step_details.tool_calls[*].file_search.results[*].content"

ParamsT = TypeVar("ParamsT", bound=BaseModel)


async def body_of(request: Request, params: type[ParamsT]) -> ParamsT:
    """Read the JSON body as `params`. An absent body counts as an empty object, as the hosted service did.

    Raises:
        BadRequestError: the body is not JSON, not an object, or does not fit `params`.
        PayloadTooLargeError: it is larger than any request needs.
    """
    return parse(await _read(request), params)


def parse(raw: bytes, params: type[ParamsT]) -> ParamsT:
    """Read JSON text as `params`; wrong types are refused, not converted.

    Raises:
        BadRequestError: it is not JSON, not an object, or does not fit `params`.
    """
    body = _json(raw) if raw.strip() else {}
    try:
        return params.model_validate(body, strict=True)
    except ValidationError as error:
        complaint = complain(error.errors(include_url=False), body)
        raise complaint from error


def page_of(request: Request, *, max_limit: int = 100, default_limit: int = 20) -> PageQuery:
    """Read `limit`, `order`, `after` and `before`.

    Raises:
        BadRequestError: one of them has a value that the API does not allow.
    """
    query = request.query_params
    order = query.get("order") or "desc"
    if order not in {"asc", "desc"}:
        complaint = supported(order, ("asc", "desc"), param="order")
        raise complaint
    return PageQuery(
        limit=_limit(query.get("limit"), max_limit, default_limit),
        order="asc" if order == "asc" else "desc",
        after=text_of(request, "after"),
        before=text_of(request, "before"),
    )


def text_of(request: Request, name: str) -> str | None:
    """Read a parameter of the query; an empty one counts as absent.

    Raises:
        BadRequestError: it holds a NUL character, which no database stores.
    """
    value = request.query_params.get(name) or None
    if value is not None and "\0" in value:
        raise BadRequestError(f"Invalid '{name}': it holds a NUL character.", param=name, code="invalid_value")
    return value


def status_filter_of(request: Request) -> VectorStoreFileStatus | None:
    """Read the `filter` of a list of vector store files.

    Raises:
        BadRequestError: it is not a status.
    """
    value = text_of(request, "filter")
    if value is None:
        return None
    for status in get_args(VectorStoreFileStatus):
        if value == status:
            known: VectorStoreFileStatus = status
            return known
    complaint = supported(value, get_args(VectorStoreFileStatus), param="filter")
    raise complaint


def includes_content(request: Request) -> bool:
    """Say whether the client asked for the text of search results with `include[]`.

    Raises:
        BadRequestError: it asked for something else.
    """
    asked = [
        value for key, value in request.query_params.multi_items() if key == "include" or key.startswith("include[")
    ]
    for value in asked:
        if value != RESULT_CONTENT:
            complaint = supported(value, (RESULT_CONTENT,), param="include")
            raise complaint
    return bool(asked)


def path_of(request: Request, name: str) -> str:
    """Give a part of the path."""
    return str(request.path_params[name])


def _limit(text: str | None, most: int, default: int) -> int:
    if not text:
        return default
    try:
        limit = int(text)
    except ValueError:
        raise BadRequestError(
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            param="limit",
            code="invalid_type",
        ) from None
    if limit > most:
        raise above("limit", limit, most)
    if limit < 1:
        raise below("limit", limit, 1)
    return limit


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_JSON_BYTES:
        raise _too_large()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BadRequestError("The body is compressed (Content-Encoding); send it as plain JSON.")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_JSON_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The JSON body is larger than {MAX_JSON_BYTES:,} bytes. Long texts belong into files: POST /v1/files."
    )


def _json(raw: bytes) -> Any:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(
            f"We could not parse the JSON body of your request: {error}. It must be one JSON object in UTF-8."
        ) from error
    if raw.count(b"{") + raw.count(b"[") > MAX_JSON_DEPTH and _is_too_deep(body):
        raise BadRequestError(f"The JSON body is nested more than {MAX_JSON_DEPTH} levels deep.")
    if b"\\u0000" in raw and _holds_nul(body):
        raise BadRequestError("The JSON body holds the character U+0000, which text cannot hold.", code="invalid_value")
    return body


def _is_too_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            return True
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [each for values in inner for each in values if isinstance(each, dict | list)]
    return False


def _holds_nul(value: Any) -> bool:
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            if "\0" in each:
                return True
        elif isinstance(each, dict):
            stack.extend(each)
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)
    return False
