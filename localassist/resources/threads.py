"""Threads: create, retrieve, update, delete."""

from collections.abc import Callable

from localassist import clock
from localassist.errors import NotFoundError
from localassist.ids import new_id
from localassist.resources import found, tool_resources
from localassist.resources.indexing import THREAD_STORE_EXPIRY
from localassist.resources.messages import add_messages
from localassist.store import threads as rows
from localassist.store.database import Connection, Database
from localassist.types.common import Deleted
from localassist.types.thread import Thread, ThreadCreateParams, ThreadUpdateParams


class Threads:
    """What can be done with threads."""

    def __init__(self, *, db: Database, wake_ingest: Callable[[], None]) -> None:
        self._db = db
        self._wake_ingest = wake_ingest

    async def create(self, params: ThreadCreateParams | None = None) -> Thread:
        """Make a thread with its first messages and the vector store that its tool resources describe, all at once.

        Raises:
            NotFoundError: a vector store or file does not exist.
            BadRequestError: a file cannot be indexed, or an attachment cannot be used.
        """
        thread = await self._db.write(lambda conn: create_thread(conn, params or ThreadCreateParams()))
        if thread.tool_resources.file_search is not None:  # files were given to it, if any were
            self._wake_ingest()
        return thread

    async def retrieve(self, thread_id: str) -> Thread:
        """Read a thread.

        Raises:
            NotFoundError: there is none.
        """
        return await self._db.read(lambda conn: found.thread(conn, thread_id))

    async def update(self, thread_id: str, params: ThreadUpdateParams) -> Thread:
        """Change what the request names; null empties it.

        Raises:
            NotFoundError: there is no such thread, or a vector store or file does not exist.
            BadRequestError: a file cannot be indexed.
        """

        def write(conn: Connection) -> Thread:
            thread = found.locked_thread(conn, thread_id)
            if "metadata" in params.model_fields_set:
                thread = thread.model_copy(update={"metadata": params.metadata or {}})
            if "tool_resources" in params.model_fields_set:
                resources = tool_resources.settle(
                    conn, params.tool_resources, current=thread.tool_resources, expires_after=THREAD_STORE_EXPIRY
                )
                thread = thread.model_copy(update={"tool_resources": resources})
            rows.replace(conn, thread)
            return thread

        thread = await self._db.write(write)
        self._wake_ingest()
        return thread

    async def delete(self, thread_id: str) -> Deleted:
        """Delete a thread with its messages and runs, also one that is being carried out; its vector store stays.

        Raises:
            NotFoundError: there is none.
        """
        if not await self._db.write(lambda conn: rows.delete(conn, thread_id)):
            raise NotFoundError("thread", thread_id)
        return Deleted(id=thread_id, object="thread.deleted")


def create_thread(conn: Connection, params: ThreadCreateParams, *, param: str = "") -> Thread:
    """Make a thread inside a transaction; `param` is where in the request it is described, with its full stop.

    Raises:
        NotFoundError: a vector store or file does not exist.
        BadRequestError: a file cannot be indexed, or an attachment cannot be used.
    """
    thread = Thread(
        id=new_id("thread"),
        created_at=clock.now_s(),
        metadata=params.metadata or {},
        tool_resources=tool_resources.settle(conn, params.tool_resources, expires_after=THREAD_STORE_EXPIRY),
    )
    rows.insert(conn, thread)
    thread, _ = add_messages(conn, thread, params.messages or (), param=f"{param}messages")
    return thread
