"""Where the files of an assistant lie that API version 1 listed as `file_ids`; inside the caller's transaction.

They are kept where version 2 keeps them, so the two versions cannot disagree:

- for `retrieval`, in a vector store that is made for the assistant and knows whose it is;
- for `code_interpreter`, in `tool_resources.code_interpreter.file_ids`, and so they are while no tool needs them.

A vector store that was not made for the assistant is never changed from here: it may have other users. Where `file_ids`
change, a store of the assistant's own takes its place.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from localassist.errors import BadRequestError
from localassist.resources import found, tool_resources
from localassist.resources.indexing import add_files, entries, new_store
from localassist.retrieval.parse import SUPPORTED_EXTENSIONS
from localassist.store import assistants as rows
from localassist.store import files as file_rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection
from localassist.store.pages import PageQuery
from localassist.types.assistant import (
    Assistant,
    CodeInterpreterResources,
    CodeInterpreterTool,
    FileSearchResources,
    FileSearchTool,
)
from localassist.types.file import FileObject
from localassist.types.vector_store import VectorStore

MAX_FILES: Final = 20
"""Source: published OpenAPI document of version 1, `file_ids` of an assistant."""
_FIRST_FILES: Final = PageQuery(limit=MAX_FILES, order="asc")
_EVERY_FILE: Final = PageQuery(limit=1_000_000, order="asc")


def file_ids_of(conn: Connection, assistant: Assistant) -> list[str]:
    """List the files of an assistant in the order in which it got them, at most 20."""
    interpreted = assistant.tool_resources.code_interpreter
    held = [] if interpreted is None else [i for i in interpreted.file_ids if file_rows.get(conn, i) is not None]
    searched = [
        file.id
        for store_id in tool_resources.store_ids(assistant.tool_resources)
        for file in store_rows.list_files_page(conn, store_id, _FIRST_FILES).data
    ]
    return list(dict.fromkeys([*held, *searched]))[:MAX_FILES]


def settle(conn: Connection, assistant: Assistant, file_ids: Sequence[str], *, param: str = "file_ids") -> Assistant:
    """Give an assistant exactly these files, where its tools look for them; the assistant as it is kept then.

    With both tools, what cannot be searched is left to `code_interpreter`.

    Raises:
        AbsentError: a file does not exist.
        BadRequestError: there are more than 20, or one cannot be searched and there is no other tool for it.
    """
    ids = list(dict.fromkeys(file_ids))
    if len(ids) > MAX_FILES:
        raise BadRequestError(f"An assistant can have at most {MAX_FILES} files, but got {len(ids)}.", param=param)
    files = found.files(conn, ids, param=param)
    is_searching = any(isinstance(tool, FileSearchTool) for tool in assistant.tools)
    is_interpreting = any(isinstance(tool, CodeInterpreterTool) for tool in assistant.tools)
    searched = [f.id for f in files if is_searching and (can_be_searched(f) or not is_interpreting)]
    held = ids if is_interpreting or not is_searching else []
    resources = assistant.tool_resources.model_copy(
        update={
            "file_search": _searched(conn, assistant, searched, param=param),
            "code_interpreter": CodeInterpreterResources(file_ids=held) if held or is_interpreting else None,
        }
    )
    settled = assistant.model_copy(update={"tool_resources": resources})
    if settled != assistant:
        rows.replace(conn, settled)
    return settled


def can_be_searched(file: FileObject) -> bool:
    """Say whether a file's extension is one of those that can be indexed."""
    return PurePath(file.filename).suffix.lower() in SUPPORTED_EXTENSIONS


def store_of(conn: Connection, assistant: Assistant) -> VectorStore | None:
    """Read the vector store of an assistant; None when it has none, or it is gone."""
    stores = (store_rows.get(conn, store_id) for store_id in tool_resources.store_ids(assistant.tool_resources))
    return next((store for store in stores if store is not None), None)


def is_own(conn: Connection, store: VectorStore, assistant: Assistant) -> bool:
    """Say whether a store was made for the files of this assistant."""
    return store_rows.assistant_of(conn, store.id) == assistant.id


def _searched(
    conn: Connection, assistant: Assistant, file_ids: Sequence[str], *, param: str
) -> FileSearchResources | None:
    store = store_of(conn, assistant)
    present = [] if store is None else [f.id for f in store_rows.list_files_page(conn, store.id, _EVERY_FILE).data]
    if set(present) == set(file_ids):
        return assistant.tool_resources.file_search
    if store is None or store.status == "expired" or not is_own(conn, store, assistant):
        if not file_ids:
            return None
        store, present = new_store(), []
        store_rows.insert(conn, store, assistant_id=assistant.id)
    for file_id in present:
        if file_id not in file_ids:
            store_rows.delete_file(conn, store.id, file_id)
    add_files(conn, store.id, entries(i for i in file_ids if i not in present), param=param)
    return FileSearchResources(vector_store_ids=[store.id])
