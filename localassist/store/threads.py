"""Rows to `Thread` and back."""

from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from localassist.store.database import is_alone
from localassist.store.schema import body_of, threads
from localassist.types.thread import Thread


def insert(conn: Connection, t: Thread) -> None:
    """Keep a new thread."""
    conn.execute(_INSERT, {"id": t.id, "body": body_of(t, "id")})


def get(conn: Connection, thread_id: str) -> Thread | None:
    """Read a thread."""
    row = conn.execute(_BY_ID, {"of": thread_id}).first()
    return None if row is None else Thread.model_validate({**row.body, "id": row.id})


def replace(conn: Connection, t: Thread) -> bool:
    """Write `t` over the thread of its id; False when there is none."""
    return conn.execute(sql_update(threads).where(threads.c.id == t.id).values(body=body_of(t, "id"))).rowcount > 0


def delete(conn: Connection, thread_id: str) -> bool:
    """Delete a thread with its messages, runs, steps and events; False when there is none."""
    return conn.execute(sql_delete(threads).where(threads.c.id == thread_id)).rowcount > 0


def lock(conn: Connection, thread_id: str) -> None:
    """Let no other transaction decide on the thread's runs until this one ends; only in a write.

    SQLite has one writer at a time anyway. On PostgreSQL the lock leaves new messages and steps alone.
    """
    if not is_alone(conn):
        conn.execute(select(threads.c.id).where(threads.c.id == thread_id).with_for_update(key_share=True))


_INSERT: Final = sql_insert(threads)
_BY_ID: Final = select(threads).where(threads.c.id == bindparam("of"))
