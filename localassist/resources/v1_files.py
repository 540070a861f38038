"""Files of assistants and messages as API version 1 had them: lists of file ids, and files as objects of their own."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from localassist.errors import BadRequestError, NotFoundError
from localassist.resources import found, tool_resources
from localassist.resources.assistants import create_assistant, update_assistant
from localassist.resources.indexing import THREAD_STORE_EXPIRY
from localassist.resources.v1_layout import MAX_FILES, can_be_searched, file_ids_of, is_own, settle, store_of
from localassist.store import assistants as rows
from localassist.store import files as file_rows
from localassist.store import threads as thread_rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection, Database
from localassist.store.pages import PageQuery
from localassist.types.assistant import Assistant, AssistantCreateParams, AssistantUpdateParams, CodeInterpreterTool
from localassist.types.common import Deleted, ListPage
from localassist.types.file import FileObject
from localassist.types.message import AttachmentParam, AttachmentTool, FileSearchAttachmentTool
from localassist.types.v1 import AssistantFile, MessageFile

FileT = TypeVar("FileT", AssistantFile, MessageFile)
T = TypeVar("T")

AssistantWithFiles = tuple[Assistant, Sequence[str]]
"""An assistant, and the ids of its files as version 1 lists them."""


class V1Files:
    """What programs of version 1 do with the files of assistants and messages."""

    def __init__(self, *, db: Database, wake_ingest: Callable[[], None], forget: Callable[[str], None]) -> None:
        """Bring the parts together.

        Args:
            db: where everything is kept.
            wake_ingest: tells the workers of this process that a file was queued.
            forget: lets go of the index of a store that was deleted; may block.
        """
        self._db = db
        self._wake_ingest = wake_ingest
        self._forget = forget

    # --- assistants with files ---

    async def create_assistant(self, params: AssistantCreateParams, file_ids: Sequence[str]) -> AssistantWithFiles:
        """Make an assistant with files; the assistant, and its files' ids as they are listed.

        Raises:
            NotFoundError: a file does not exist.
            BadRequestError: there are too many files, or one cannot be indexed.
        """

        def write(conn: Connection) -> AssistantWithFiles:
            return _listed(conn, settle(conn, create_assistant(conn, params), file_ids))

        return await self._queued(write)

    async def update_assistant(
        self, assistant_id: str, params: AssistantUpdateParams, file_ids: Sequence[str] | None
    ) -> AssistantWithFiles:
        """Change an assistant, and with `file_ids` which files it has; without, they follow its tools.

        Raises:
            NotFoundError: there is no such assistant, or a file does not exist.
            BadRequestError: there are too many files, or one cannot be indexed.
        """

        def write(conn: Connection) -> AssistantWithFiles:
            rows.lock(conn, assistant_id)
            before = found.assistant(conn, assistant_id)
            present = file_ids_of(conn, before)
            assistant = update_assistant(conn, assistant_id, params)
            store = store_of(conn, before)
            if file_ids is not None:
                assistant = settle(conn, assistant, file_ids)
            elif "tools" in params.model_fields_set and (store is None or is_own(conn, store, before)):
                assistant = settle(conn, assistant, present)
            return _listed(conn, assistant)

        return await self._queued(write)

    async def delete_assistant(self, assistant_id: str) -> Deleted:
        """Delete an assistant, and the vector store that was made for its files: version 1 knows no other way to it.

        Raises:
            NotFoundError: there is none.
        """

        def write(conn: Connection) -> str | None:
            assistant = found.assistant(conn, assistant_id)
            store = store_of(conn, assistant)
            own = store if store is not None and is_own(conn, store, assistant) else None
            if own is not None:
                store_rows.delete(conn, own.id)
            if not rows.delete(conn, assistant_id):
                raise NotFoundError("assistant", assistant_id)
            return None if own is None else own.id

        gone = await self._db.write(write)
        if gone is not None:
            await asyncio.to_thread(self._forget, gone)
        return Deleted(id=assistant_id, object="assistant.deleted")

    async def file_ids(self, assistant_ids: Iterable[str]) -> Mapping[str, Sequence[str]]:
        """List the files of each assistant, at most 20; none of one that is gone."""

        def read(conn: Connection) -> Mapping[str, Sequence[str]]:
            known = {i: rows.get(conn, i) for i in dict.fromkeys(assistant_ids)}
            return {i: [] if a is None else file_ids_of(conn, a) for i, a in known.items()}

        return await self._db.read(read)

    # --- files of assistants ---

    async def create(self, assistant_id: str, file_id: str) -> AssistantFile:
        """Give an assistant one more file; one that it has already stays as it is.

        Raises:
            NotFoundError: there is no such assistant or file.
            BadRequestError: the assistant has too many files, or this one cannot be indexed.
        """

        def write(conn: Connection) -> AssistantFile:
            rows.lock(conn, assistant_id)
            assistant = found.assistant(conn, assistant_id)
            present = file_ids_of(conn, assistant)
            if file_id not in present:
                assistant = settle(conn, assistant, [*present, file_id], param="file_id")
            return _assistant_file(conn, assistant, file_id)

        return await self._queued(write)

    async def list(self, assistant_id: str, q: PageQuery) -> ListPage[AssistantFile]:
        """Read a page of an assistant's files.

        Raises:
            NotFoundError: there is no such assistant.
            BadRequestError: a cursor names no file of the assistant.
        """

        def read(conn: Connection) -> ListPage[AssistantFile]:
            assistant = found.assistant(conn, assistant_id)
            return page_of([_assistant_file(conn, assistant, i) for i in file_ids_of(conn, assistant)], q)

        return await self._db.read(read)

    async def retrieve(self, assistant_id: str, file_id: str) -> AssistantFile:
        """Read a file of an assistant.

        Raises:
            NotFoundError: there is no such assistant, or no such file of it.
        """

        def read(conn: Connection) -> AssistantFile:
            assistant = found.assistant(conn, assistant_id)
            _require("assistant", file_id, file_ids_of(conn, assistant))
            return _assistant_file(conn, assistant, file_id)

        return await self._db.read(read)

    async def delete(self, assistant_id: str, file_id: str) -> Deleted:
        """Take a file from an assistant; the file itself stays.

        Raises:
            NotFoundError: there is no such assistant, or no such file of it.
        """

        def write(conn: Connection) -> None:
            rows.lock(conn, assistant_id)
            assistant = found.assistant(conn, assistant_id)
            present = file_ids_of(conn, assistant)
            _require("assistant", file_id, present)
            settle(conn, assistant, [i for i in present if i != file_id])

        await self._queued(write)
        return Deleted(id=file_id, object="assistant.file.deleted")

    # --- files of messages ---

    async def attachments(
        self, wanted: Sequence[Sequence[str]], *, thread_id: str | None = None
    ) -> Sequence[Sequence[AttachmentParam]]:
        """Give the attachments that stand for the `file_ids` of new messages of one thread.

        A message's files were for every tool: what can be searched is given to `file_search`, and everything to
        `code_interpreter`, except that what can be searched waits outside once the thread has its 20 files there.

        Raises:
            NotFoundError: there is no such thread, or a file does not exist.
        """

        def read(conn: Connection) -> Sequence[Sequence[AttachmentParam]]:
            held: set[str] = set()
            if thread_id is not None:
                resources = found.thread(conn, thread_id).tool_resources.code_interpreter
                held |= set(resources.file_ids if resources is not None else ())
            return [
                [_attachment(file, held) for file in found.files(conn, dict.fromkeys(ids), param="file_ids")]
                for ids in wanted
            ]

        return await self._db.read(read) if any(wanted) else [[] for _ in wanted]

    async def keep(self, thread_id: str) -> None:
        """Let the files of a thread's messages stay found for good.

        A vector store that an attachment made expires a week after its last use, and runs then fail; version 1 knew
        nothing of the kind. A store that was given another expiry, or is gone, stays as it is.
        """

        def write(conn: Connection) -> None:
            thread = thread_rows.get(conn, thread_id)
            for store_id in [] if thread is None else tool_resources.store_ids(thread.tool_resources):
                store = store_rows.get(conn, store_id)
                if store is not None and store.expires_after == THREAD_STORE_EXPIRY:
                    lasting = {"expires_after": None, "expires_at": None}
                    store_rows.replace(conn, store.model_copy(update=lasting))

        await self._db.write(write)

    async def list_of_message(self, thread_id: str, message_id: str, q: PageQuery) -> ListPage[MessageFile]:
        """Read a page of a message's files.

        Raises:
            NotFoundError: there is no such thread, or no such message in it.
            BadRequestError: a cursor names no file of the message.
        """
        return page_of(await self._db.read(lambda conn: _message_files(conn, thread_id, message_id)), q)

    async def retrieve_of_message(self, thread_id: str, message_id: str, file_id: str) -> MessageFile:
        """Read a file of a message.

        Raises:
            NotFoundError: there is no such thread, no such message in it, or no such file of it.
        """
        files = await self._db.read(lambda conn: _message_files(conn, thread_id, message_id))
        _require("message", file_id, [file.id for file in files])
        return next(file for file in files if file.id == file_id)

    async def _queued(self, write: Callable[[Connection], T]) -> T:
        written = await self._db.write(write)
        self._wake_ingest()
        return written


def page_of(files: Sequence[FileT], q: PageQuery) -> ListPage[FileT]:
    """Give one page of a short list that is in ascending order; as `store.pages` does with long ones.

    Raises:
        BadRequestError: a cursor names no file of the list.
    """
    ordered = list(files) if q.order == "asc" else list(files)[::-1]
    ids = [file.id for file in ordered]
    first = 0 if q.after is None else _place(ids, q.after, "after") + 1
    end = len(ids) if q.before is None else _place(ids, q.before, "before")
    window = ordered[first:end]
    backwards = q.before is not None and q.after is None
    shown = window[-q.limit :] if backwards else window[: q.limit]
    return ListPage(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(window) > len(shown),
    )


def _place(ids: Sequence[str], cursor: str, param: str) -> int:
    if cursor not in ids:
        raise BadRequestError(f"Invalid '{param}': no object of this list has the id '{cursor}'.", param=param)
    return ids.index(cursor)


def _listed(conn: Connection, assistant: Assistant) -> AssistantWithFiles:
    return assistant, file_ids_of(conn, assistant)


def _require(kind: str, file_id: str, present: Sequence[str]) -> None:
    if file_id not in present:
        raise NotFoundError(f"{kind} file", file_id)


def _assistant_file(conn: Connection, assistant: Assistant, file_id: str) -> AssistantFile:
    """Give a file that the assistant has.

    When it got the file is known of a vector store only; else it is the first second in which both were there.
    """
    store, file = store_of(conn, assistant), file_rows.get(conn, file_id)
    entry = None if store is None else store_rows.get_file(conn, store.id, file_id)
    created_at = entry.created_at if entry is not None else assistant.created_at
    if entry is None and file is not None:
        created_at = max(created_at, file.created_at)
    return AssistantFile(id=file_id, created_at=created_at, assistant_id=assistant.id)


def _message_files(conn: Connection, thread_id: str, message_id: str) -> Sequence[MessageFile]:
    message = found.message(conn, thread_id, message_id)
    ids = dict.fromkeys(attachment.file_id for attachment in message.attachments)
    return [MessageFile(id=i, created_at=message.created_at, message_id=message.id) for i in ids]


def _attachment(file: FileObject, interpreted: set[str]) -> AttachmentParam:
    """Give a file to the tools that can use it; `interpreted` are the thread's files that `code_interpreter` has."""
    tools: list[AttachmentTool] = []
    if can_be_searched(file):
        tools.append(FileSearchAttachmentTool(type="file_search"))
    if not tools or file.id in interpreted or len(interpreted) < MAX_FILES:
        tools.append(CodeInterpreterTool(type="code_interpreter"))
        interpreted.add(file.id)
    return AttachmentParam(file_id=file.id, tools=tools)
