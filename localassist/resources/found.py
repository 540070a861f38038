"""Objects by their ids, or the API's 404."""

from collections.abc import Iterable

from localassist.errors import BadRequestError, NotFoundError
from localassist.store import assistants as assistant_rows
from localassist.store import files as file_rows
from localassist.store import messages as message_rows
from localassist.store import runs as run_rows
from localassist.store import threads as thread_rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection
from localassist.types.assistant import Assistant
from localassist.types.file import FileObject
from localassist.types.message import Message
from localassist.types.run import Run
from localassist.types.run_step import RunStep
from localassist.types.thread import Thread
from localassist.types.vector_store import VectorStore, VectorStoreFile, VectorStoreFileBatch


class AbsentError(NotFoundError):
    """A 404 that the hosted service words in a way of its own."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        BadRequestError.__init__(self, message, param=param)


def assistant(conn: Connection, assistant_id: str) -> Assistant:
    """Read an assistant.

    Raises:
        NotFoundError: there is none.
    """
    found = assistant_rows.get(conn, assistant_id)
    if found is None:
        raise NotFoundError("assistant", assistant_id)
    return found


def thread(conn: Connection, thread_id: str) -> Thread:
    """Read a thread.

    Raises:
        NotFoundError: there is none.
    """
    found = thread_rows.get(conn, thread_id)
    if found is None:
        raise NotFoundError("thread", thread_id)
    return found


def locked_thread(conn: Connection, thread_id: str) -> Thread:
    """Read a thread that will be written: no other transaction changes it or its runs until this one ends.

    Raises:
        NotFoundError: there is none.
    """
    thread_rows.lock(conn, thread_id)
    return thread(conn, thread_id)


def message(conn: Connection, thread_id: str, message_id: str) -> Message:
    """Read a message of this thread.

    Raises:
        NotFoundError: there is no such thread, or no such message in it.
    """
    found = message_rows.get(conn, thread_id, message_id)
    if found is None:
        thread(conn, thread_id)
        raise NotFoundError("message", message_id)
    return found


def run(conn: Connection, thread_id: str, run_id: str) -> Run:
    """Read a run of this thread.

    Raises:
        NotFoundError: there is no such thread, or no such run in it.
    """
    found = run_rows.get(conn, thread_id, run_id)
    if found is None:
        thread(conn, thread_id)
        raise NotFoundError("run", run_id)
    return found


def step(conn: Connection, thread_id: str, run_id: str, step_id: str) -> RunStep:
    """Read a step of this run.

    Raises:
        NotFoundError: there is no such thread, run or step.
    """
    run(conn, thread_id, run_id)
    found = run_rows.get_step(conn, run_id, step_id)
    if found is None:
        raise NotFoundError("run step", step_id)
    return found


def file(conn: Connection, file_id: str) -> FileObject:
    """Read a file.

    Raises:
        NotFoundError: there is none.
    """
    found = file_rows.get(conn, file_id)
    if found is None:
        raise NotFoundError("file", file_id)
    return found


def files(conn: Connection, file_ids: Iterable[str], *, param: str) -> list[FileObject]:
    """Read files that the request's `param` names.

    Raises:
        AbsentError: some of them do not exist; the message names all of those.
    """
    ids = list(file_ids)
    known = {file_id: file_rows.get(conn, file_id) for file_id in dict.fromkeys(ids)}
    absent = [file_id for file_id, found in known.items() if found is None]
    if absent:
        raise AbsentError(f"Files [{', '.join(absent)}] were not found", param=param)
    return [found for file_id in ids if (found := known[file_id]) is not None]


def store(conn: Connection, store_id: str) -> VectorStore:
    """Read a vector store.

    Raises:
        NotFoundError: there is none.
    """
    found = store_rows.get(conn, store_id)
    if found is None:
        raise NotFoundError("vector store", store_id)
    return found


def live_store(conn: Connection, store_id: str) -> VectorStore:
    """Read a vector store that can be used.

    Raises:
        NotFoundError: there is none.
        BadRequestError: it has expired.
    """
    found = store(conn, store_id)
    if found.status == "expired":
        raise BadRequestError(
            f"Vector store {store_id} has expired. Make a new one with the same files, or give this one another "
            "'expires_after'."
        )
    return found


def store_file(conn: Connection, store_id: str, file_id: str) -> VectorStoreFile:
    """Read a file as it stands in this vector store.

    Raises:
        NotFoundError: there is no such vector store.
        AbsentError: the vector store has no such file.
    """
    found = store_rows.get_file(conn, store_id, file_id)
    if found is None:
        store(conn, store_id)
        raise AbsentError(f"No file found with id '{file_id}' in vector store '{store_id}'.")
    return found


def batch(conn: Connection, store_id: str, batch_id: str) -> VectorStoreFileBatch:
    """Read a batch of this vector store.

    Raises:
        NotFoundError: there is no such vector store.
        AbsentError: the vector store has no such batch.
    """
    found = store_rows.get_batch(conn, store_id, batch_id)
    if found is None:
        store(conn, store_id)
        raise AbsentError(f"No file batch found with id '{batch_id}' in vector store '{store_id}'.")
    return found
