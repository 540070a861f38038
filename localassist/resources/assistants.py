"""Assistants: create, retrieve, update, list, delete."""

from collections.abc import Callable
from typing import Any, Final

from localassist import clock
from localassist.errors import NotFoundError
from localassist.ids import new_id
from localassist.resources import found, tool_resources
from localassist.store import assistants as rows
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.assistant import Assistant, AssistantCreateParams, AssistantUpdateParams
from localassist.types.common import Deleted, ListPage

_PLAIN: Final = (
    "name",
    "description",
    "model",
    "instructions",
    "tools",
    "top_p",
    "temperature",
    "reasoning_effort",
    "metadata",
    "response_format",
)
"""Fields that are taken over as they are; null stands for their default."""


class Assistants:
    """What can be done with assistants."""

    def __init__(self, *, db: Database, wake_ingest: Callable[[], None]) -> None:
        self._db = db
        self._wake_ingest = wake_ingest

    async def create(self, params: AssistantCreateParams) -> Assistant:
        """Make an assistant, and the vector stores that its tool resources describe.

        Raises:
            NotFoundError: a vector store or file does not exist.
            BadRequestError: a file cannot be indexed.
        """
        assistant = await self._db.write(lambda conn: create_assistant(conn, params))
        self._wake_ingest()
        return assistant

    async def retrieve(self, assistant_id: str) -> Assistant:
        """Read an assistant.

        Raises:
            NotFoundError: there is none.
        """
        return await self._db.read(lambda conn: found.assistant(conn, assistant_id))

    async def update(self, assistant_id: str, params: AssistantUpdateParams) -> Assistant:
        """Change what the request names; null resets a field to its default, except `model`, which has none.

        Raises:
            NotFoundError: there is no such assistant, or a vector store or file does not exist.
            BadRequestError: a file cannot be indexed.
        """
        assistant = await self._db.write(lambda conn: update_assistant(conn, assistant_id, params))
        self._wake_ingest()
        return assistant

    async def list(self, q: PageQuery) -> ListPage[Assistant]:
        """Read a page of all assistants."""
        return await self._db.read(lambda conn: rows.list_page(conn, q))

    async def delete(self, assistant_id: str) -> Deleted:
        """Delete an assistant; its threads, runs and vector stores stay.

        Raises:
            NotFoundError: there is none.
        """
        if not await self._db.write(lambda conn: rows.delete(conn, assistant_id)):
            raise NotFoundError("assistant", assistant_id)
        return Deleted(id=assistant_id, object="assistant.deleted")


def create_assistant(conn: Connection, params: AssistantCreateParams) -> Assistant:
    """Make an assistant inside a transaction.

    Raises:
        NotFoundError: a vector store or file does not exist.
        BadRequestError: a file cannot be indexed.
    """
    assistant = Assistant(
        id=new_id("asst"),
        created_at=clock.now_s(),
        **_given(params),
        tool_resources=tool_resources.settle(conn, params.tool_resources),
    )
    assistant = _complete(assistant)
    rows.insert(conn, assistant)
    return assistant


def update_assistant(conn: Connection, assistant_id: str, params: AssistantUpdateParams) -> Assistant:
    """Change an assistant inside a transaction.

    Raises:
        NotFoundError: there is no such assistant, or a vector store or file does not exist.
        BadRequestError: a file cannot be indexed.
    """
    assistant = found.assistant(conn, assistant_id)
    changes: dict[str, Any] = {
        name: Assistant.model_fields[name].get_default(call_default_factory=True)
        for name in _PLAIN
        if name in params.model_fields_set and name != "model"
    }
    changes |= _given(params)
    if "tool_resources" in params.model_fields_set:
        changes["tool_resources"] = tool_resources.settle(conn, params.tool_resources, current=assistant.tool_resources)
    changed = _complete(assistant.model_copy(update=changes))
    rows.replace(conn, changed)
    return changed


def _given(params: AssistantCreateParams | AssistantUpdateParams) -> dict[str, Any]:
    return {name: value for name in _PLAIN if (value := getattr(params, name)) is not None}


def _complete(assistant: Assistant) -> Assistant:
    resources = tool_resources.for_tools(assistant.tool_resources, assistant.tools)
    return assistant.model_copy(update={"tool_resources": resources})
