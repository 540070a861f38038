"""Rows to `Assistant` and back."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from localassist.store.pages import Listing, PageQuery, fetch_page, remember_place
from localassist.store.schema import assistants, body_of
from localassist.types.assistant import Assistant
from localassist.types.common import ListPage

_LIST: Final = Listing(assistants, assistants.c.id)


def insert(conn: Connection, a: Assistant) -> None:
    """Keep a new assistant."""
    conn.execute(sql_insert(assistants).values(id=a.id, body=body_of(a, "id")))


def get(conn: Connection, assistant_id: str) -> Assistant | None:
    """Read an assistant."""
    row = conn.execute(select(assistants).where(assistants.c.id == assistant_id)).first()
    return None if row is None else _assistant(row)


def lock(conn: Connection, assistant_id: str) -> None:
    """Let no other transaction write this assistant until this one has ended; there may be none."""
    conn.execute(select(assistants.c.seq).where(assistants.c.id == assistant_id).with_for_update())


def list_page(conn: Connection, q: PageQuery) -> ListPage[Assistant]:
    """Read a page of all assistants."""
    return fetch_page(conn, _LIST, q, _assistants)


def replace(conn: Connection, a: Assistant) -> bool:
    """Write `a` over the assistant of its id; False when there is none."""
    done = conn.execute(sql_update(assistants).where(assistants.c.id == a.id).values(body=body_of(a, "id")))
    return done.rowcount > 0


def delete(conn: Connection, assistant_id: str) -> bool:
    """Delete an assistant; its runs stay. False when there is none."""
    remember_place(conn, _LIST, assistant_id)
    return conn.execute(sql_delete(assistants).where(assistants.c.id == assistant_id)).rowcount > 0


def _assistant(row: Row[Any]) -> Assistant:
    return Assistant.model_validate({**row.body, "id": row.id})


def _assistants(rows: Sequence[Row[Any]]) -> list[Assistant]:
    return [_assistant(row) for row in rows]
