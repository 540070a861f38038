"""Objects of every kind, full of what is easily lost: nulls, key order, NUL, emoji, aliases."""

from typing import Any

from localassist.ids import new_id
from localassist.store import files, runs, threads, vector_stores
from localassist.store.database import Connection
from localassist.store.jobs import IngestJob, claim_file
from localassist.types.assistant import Assistant
from localassist.types.file import FileObject
from localassist.types.message import Message, Text, TextContentBlock
from localassist.types.run import Run
from localassist.types.run_step import MessageCreation, MessageCreationStepDetails, RunStep
from localassist.types.thread import Thread
from localassist.types.vector_store import VectorStore, VectorStoreFile

STRANGE = {"zebra": "a\x00b", "alpha": "漢字 👩‍👩‍👧", "": ""}


def an_assistant(**changes: Any) -> Assistant:
    return Assistant.model_validate(
        {
            "id": new_id("asst"),
            "created_at": 1,
            "model": "gpt-4o",
            "instructions": "Say \x00 and 👋.",
            "tools": [
                {"type": "file_search"},
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}},
                },
            ],
            "metadata": STRANGE,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": {"type": "object", "required": []}, "strict": True},
            },
            **changes,
        }
    )


def a_thread(**changes: Any) -> Thread:
    return Thread.model_validate(
        {
            "id": new_id("thread"),
            "created_at": 1,
            "metadata": STRANGE,
            "tool_resources": {"file_search": {"vector_store_ids": ["vs_1"]}},
            **changes,
        }
    )


def a_message(thread_id: str, text: str = "Hello \x00 漢", **changes: Any) -> Message:
    content = TextContentBlock(text=Text(value=text))
    values = {"id": new_id("msg"), "created_at": 1, "thread_id": thread_id, "role": "user", "content": [content]}
    return Message.model_validate({**values, "metadata": STRANGE, **changes})


def a_run(thread_id: str, **changes: Any) -> Run:
    values = {"id": new_id("run"), "created_at": 1, "thread_id": thread_id, "assistant_id": "asst_1", "model": "m"}
    return Run.model_validate({**values, "expires_at": 601, "metadata": STRANGE, **changes})


def a_step(run: Run, **changes: Any) -> RunStep:
    details = MessageCreationStepDetails(message_creation=MessageCreation(message_id="msg_1"))
    return RunStep.model_validate(
        {
            "id": new_id("step"),
            "created_at": 1,
            "run_id": run.id,
            "assistant_id": run.assistant_id,
            "thread_id": run.thread_id,
            "type": "message_creation",
            "step_details": details,
            **changes,
        }
    )


def a_file(**changes: Any) -> FileObject:
    values = {"id": new_id("file"), "purpose": "assistants", "filename": "a\x00漢.txt", "bytes": 3, "created_at": 1}
    return FileObject.model_validate({**values, **changes})


def a_store(**changes: Any) -> VectorStore:
    values = {"id": new_id("vs"), "created_at": 1, "last_active_at": 1, "metadata": STRANGE}
    return VectorStore.model_validate({**values, **changes})


def queue_run(conn: Connection, **changes: Any) -> Run:
    """Keep a queued run in a thread of its own."""
    thread = a_thread()
    run = a_run(thread.id, **changes)
    threads.insert(conn, thread)
    runs.insert(conn, run)
    return run


def queue_file(conn: Connection, store: VectorStore, file: FileObject | None = None, **changes: Any) -> FileObject:
    """Keep a file, unless it is given, and add it to `store`, which is there."""
    if file is None:
        file = a_file()
        files.insert(conn, file, sha256="0" * 64)
    batch_id = changes.pop("batch_id", None)
    entry = VectorStoreFile.model_validate({"id": file.id, "created_at": 1, "vector_store_id": store.id, **changes})
    vector_stores.insert_file(conn, entry, batch_id=batch_id)
    return file


def complete(conn: Connection, job: IngestJob, *, key: str = "key", usage_bytes: int = 10) -> bool:
    """Finish a claimed file with success."""
    return vector_stores.finish_file(
        conn, job, status="completed", last_error=None, usage_bytes=usage_bytes, report=None, content_key=key
    )


def claimed_file(conn: Connection, *, now: float = 0.0) -> IngestJob:
    """Claim a file that is certainly there."""
    job = claim_file(conn, "w", now, 10)
    assert job is not None
    return job
