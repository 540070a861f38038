"""What tools may use: from a request to stores and files that exist; inside the caller's transaction."""

from collections.abc import Sequence
from typing import Any, Final

from localassist.errors import BadRequestError
from localassist.resources import found
from localassist.resources.indexing import THREAD_STORE_EXPIRY, add_files, entries, new_store
from localassist.store import threads as thread_rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection
from localassist.types.assistant import (
    CodeInterpreterResources,
    CodeInterpreterTool,
    FileSearchResources,
    FileSearchResourcesParams,
    Tool,
    ToolResources,
    ToolResourcesParams,
)
from localassist.types.message import Attachment, FileSearchAttachmentTool, Message
from localassist.types.thread import Thread
from localassist.types.vector_store import ExpiresAfter

_MAX_INTERPRETER_FILES: Final = 20
_STORES: Final = "tool_resources.file_search.vector_store_ids"
_NEW_STORES: Final = "tool_resources.file_search.vector_stores"
_INTERPRETER_FILES: Final = "tool_resources.code_interpreter.file_ids"


def settle(
    conn: Connection,
    given: ToolResourcesParams | None,
    *,
    current: ToolResources | None = None,
    expires_after: ExpiresAfter | None = None,
) -> ToolResources:
    """Give the resources that a request asks for; stores that it describes are made.

    A tool that the request does not name keeps its `current` resources; one that it sets to null loses them, as all do
    when `given` is None. Stores that are made expire by `expires_after`.

    Raises:
        NotFoundError: a vector store does not exist.
        AbsentError: a file does not exist.
        BadRequestError: a file cannot be indexed.
    """
    if given is None:
        return ToolResources()
    changes: dict[str, Any] = {}
    if "code_interpreter" in given.model_fields_set:
        changes["code_interpreter"] = given.code_interpreter
        if given.code_interpreter is not None:
            found.files(conn, given.code_interpreter.file_ids, param=_INTERPRETER_FILES)
    if "file_search" in given.model_fields_set:
        search = given.file_search
        changes["file_search"] = None if search is None else _settle_search(conn, search, expires_after)
    return (current or ToolResources()).model_copy(update=changes)


def for_tools(resources: ToolResources, tools: Sequence[Tool]) -> ToolResources:
    """Add the empty list of files that the hosted service showed for `code_interpreter` without files."""
    if resources.code_interpreter is None and any(isinstance(tool, CodeInterpreterTool) for tool in tools):
        return resources.model_copy(update={"code_interpreter": CodeInterpreterResources()})
    return resources


def attach(conn: Connection, thread: Thread, messages: Sequence[Message]) -> Thread:
    """Give the tools what is attached to new messages of a thread, and the thread as it is kept then.

    Files to be searched go to the thread's vector store, which is made, or made anew if it has expired or is gone.

    Raises:
        AbsentError: a file does not exist.
        BadRequestError: a file cannot be indexed, or `code_interpreter` has too many.
    """
    attachments = [attachment for message in messages for attachment in message.attachments]
    if not attachments:
        return thread
    found.files(conn, [a.file_id for a in attachments], param="attachments")
    resources = _with_searched(conn, thread.tool_resources, _files_of(attachments, FileSearchAttachmentTool))
    resources = _with_interpreted(resources, _files_of(attachments, CodeInterpreterTool))
    changed = thread.model_copy(update={"tool_resources": resources})
    if changed != thread:
        thread_rows.replace(conn, changed)
    return changed


def store_ids(*holders: ToolResources) -> list[str]:
    """Give the vector stores of some resources, each once."""
    searched = [resources.file_search for resources in holders if resources.file_search is not None]
    return list(dict.fromkeys(store_id for search in searched for store_id in search.vector_store_ids))


def _settle_search(
    conn: Connection, given: FileSearchResourcesParams, expires_after: ExpiresAfter | None
) -> FileSearchResources:
    ids = list(given.vector_store_ids or ())
    for store_id in ids:
        if store_rows.index_version(conn, store_id) is None:
            raise found.AbsentError(f"No vector store found with id '{store_id}'.", param=_STORES)
    for described in given.vector_stores or ():
        store = new_store(metadata=described.metadata, expires_after=expires_after)
        store_rows.insert(conn, store)
        files = entries(described.file_ids, chunking=described.chunking_strategy)
        add_files(conn, store.id, files, param=f"{_NEW_STORES}[{len(ids)}].file_ids")
        ids.append(store.id)
    return FileSearchResources(vector_store_ids=ids)


def _with_searched(conn: Connection, resources: ToolResources, file_ids: Sequence[str]) -> ToolResources:
    if not file_ids:
        return resources
    alive = [s for i in store_ids(resources) if (s := store_rows.get(conn, i)) is not None and s.status != "expired"]
    if alive:
        store = alive[0]
        present = [store_rows.get_file(conn, store.id, file_id) for file_id in file_ids]
        working = {f.id for f in present if f is not None and f.status in {"completed", "in_progress"}}
        add_files(conn, store.id, entries(i for i in file_ids if i not in working), param="attachments")
        return resources
    store = new_store(expires_after=THREAD_STORE_EXPIRY)
    store_rows.insert(conn, store)
    add_files(conn, store.id, entries(file_ids), param="attachments")
    return resources.model_copy(update={"file_search": FileSearchResources(vector_store_ids=[store.id])})


def _with_interpreted(resources: ToolResources, file_ids: Sequence[str]) -> ToolResources:
    if not file_ids:
        return resources
    present = resources.code_interpreter.file_ids if resources.code_interpreter is not None else []
    together = list(dict.fromkeys([*present, *file_ids]))
    if len(together) > _MAX_INTERPRETER_FILES:
        raise BadRequestError(
            f"The thread would have {len(together)} files for code_interpreter; at most {_MAX_INTERPRETER_FILES} are "
            "allowed.",
            param="attachments",
        )
    return resources.model_copy(update={"code_interpreter": CodeInterpreterResources(file_ids=together)})


def _files_of(attachments: Sequence[Attachment], kind: type[object]) -> list[str]:
    wanted = (a.file_id for a in attachments if any(isinstance(tool, kind) for tool in a.tools))
    return list(dict.fromkeys(wanted))
