"""Rows to `Message` and back."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from localassist.store.pages import Listing, PageQuery, fetch_page, remember_place
from localassist.store.schema import body_of, messages
from localassist.types.common import ListPage
from localassist.types.message import Message

_COLUMNS = ("id", "thread_id", "run_id", "status")


def insert(conn: Connection, m: Message) -> None:
    """Keep a new message behind the others of its thread."""
    values = {name: getattr(m, name) for name in _COLUMNS}
    conn.execute(_INSERT, values | {"body": body_of(m, *_COLUMNS)})


def get(conn: Connection, thread_id: str, message_id: str) -> Message | None:
    """Read a message of this thread."""
    row = conn.execute(select(messages).where(messages.c.thread_id == thread_id, messages.c.id == message_id)).first()
    return None if row is None else _message(row)


def list_page(conn: Connection, thread_id: str, q: PageQuery, *, run_id: str | None = None) -> ListPage[Message]:
    """Read a page of the thread's messages, those in progress too; with `run_id` only what that run wrote."""
    filters = [] if run_id is None else [messages.c.run_id == run_id]
    return fetch_page(conn, _list_of(thread_id), q, _messages, filters=filters)


def replace(conn: Connection, m: Message) -> bool:
    """Write `m` over the message of its id and thread; False when there is none."""
    values = {"run_id": m.run_id, "status": m.status, "body": body_of(m, *_COLUMNS)}
    return conn.execute(_REPLACE, {"of": m.id, "of_thread": m.thread_id, **values}).rowcount > 0


def delete(conn: Connection, thread_id: str, message_id: str) -> bool:
    """Delete a message of this thread; False when there is none."""
    remember_place(conn, _list_of(thread_id), message_id)
    done = conn.execute(sql_delete(messages).where(messages.c.thread_id == thread_id, messages.c.id == message_id))
    return done.rowcount > 0


def all_of(conn: Connection, thread_id: str, *, newest: int | None = None) -> list[Message]:
    """Read what has been said in a thread, oldest first: all of it, or the `newest` so many messages.

    Messages in progress are left out.
    """
    rows = conn.execute(_NEWEST_SAID.limit(newest), {"of_thread": thread_id}).all()
    return _messages(rows[::-1])


_INSERT: Final = sql_insert(messages)
_REPLACE: Final = sql_update(messages).where(
    messages.c.id == bindparam("of"), messages.c.thread_id == bindparam("of_thread")
)
_NEWEST_SAID: Final = (
    select(messages)
    .where(messages.c.thread_id == bindparam("of_thread"), messages.c.status != "in_progress")
    .order_by(messages.c.seq.desc())
)


def _list_of(thread_id: str) -> Listing:
    return Listing(messages, messages.c.id, messages.c.thread_id, thread_id)


def _message(row: Row[Any]) -> Message:
    return Message.model_validate({**row.body, **{name: getattr(row, name) for name in _COLUMNS}})


def _messages(rows: Sequence[Row[Any]]) -> list[Message]:
    return [_message(row) for row in rows]
