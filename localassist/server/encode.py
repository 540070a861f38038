"""Objects to JSON, as the API writes them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from localassist import clock
from localassist.types.common import APIObject, ListPage
from localassist.types.message import Message

_MEDIA_TYPE: Final = "application/json"


def answer(shown: APIObject | Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Response:
    """Write one object."""
    body = shown.model_dump_json(by_alias=True).encode() if isinstance(shown, APIObject) else orjson.dumps(shown)
    return Response(body, headers=dict(headers or {}), media_type=_MEDIA_TYPE)


def answer_messages(page: ListPage[Message]) -> Response:
    """Write a page of messages in the form that REST gives them."""
    return answer(mapped(page, Message.rest))


def mapped(page: ListPage[Any], show: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """Give a page with each of its objects as `show` shows it."""
    return {
        "object": "list",
        "data": [show(each) for each in page.data],
        "first_id": page.first_id,
        "last_id": page.last_id,
        "has_more": page.has_more,
    }


def poll_hint(created_at: int, *, pending: bool) -> dict[str, str]:
    """Tell the SDK's pollers when to ask again: soon at first, more rarely as the work takes longer.

    They sleep as long as `openai-poll-after-ms` says, and a whole second without it.
    """
    if not pending:
        return {}
    age_s = max(0.0, clock.now() - created_at)
    return {"openai-poll-after-ms": str(int(min(1000.0, max(20.0, 20.0 * age_s))))}
