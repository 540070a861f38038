"""Cursor pages: `limit`, `order`, `after`, `before`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Row, Table, delete, insert, select

from localassist import clock
from localassist.errors import BadRequestError
from localassist.store.schema import deleted_objects
from localassist.types.common import ListPage

_REMEMBER_S: Final = 86_400


ObjectT = TypeVar("ObjectT")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page of a list: at most `limit` objects behind `after` and in front of `before`, both exclusive."""

    limit: int = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A list: the table, the column of the ids that are its cursors, and the parent whose list it is."""

    table: Table
    key: Column[str]
    parent: Column[str] | None = None
    parent_id: str = ""

    @property
    def scope(self) -> str:
        """Name the list; two lists never share an id's place."""
        return self.parent_id if self.parent is not None else self.table.name

    def where(self) -> list[ColumnElement[bool]]:
        """Give the conditions that hold for every object of the list."""
        return [] if self.parent is None else [self.parent == self.parent_id]


def fetch_page(
    conn: Connection,
    listing: Listing,
    q: PageQuery,
    load: Callable[[Sequence[Row[Any]]], list[ObjectT]],
    *,
    filters: Sequence[ColumnElement[bool]] = (),
) -> ListPage[ObjectT]:
    """Read one page.

    A page asked for with `before` alone ends where the cursor stands, as the page before it would; `has_more` then
    tells whether there is more in front of it.

    Args:
        conn: where the list is read.
        listing: which list.
        q: which page of it.
        load: makes objects of rows.
        filters: conditions that choose among the list's objects; a cursor need not meet them.

    Raises:
        BadRequestError: a cursor names no object of the list.
    """
    seq = listing.table.c.seq
    conditions = [*listing.where(), *filters]
    ascending = q.order == "asc"
    for name, cursor, behind in (("after", q.after, True), ("before", q.before, False)):
        if cursor is not None:
            place = _place(conn, listing, cursor, name)
            conditions.append(seq > place if behind == ascending else seq < place)
    backwards = q.before is not None and q.after is None
    order = seq.asc() if ascending != backwards else seq.desc()
    rows = conn.execute(select(listing.table).where(*conditions).order_by(order).limit(q.limit + 1)).all()
    shown = list(rows[: q.limit])
    if backwards:
        shown.reverse()
    ids = [str(row._mapping[listing.key.name]) for row in shown]
    return ListPage(
        data=load(shown),
        first_id=ids[0] if ids else None,
        last_id=ids[-1] if ids else None,
        has_more=len(rows) > q.limit,
    )


def remember_place(conn: Connection, listing: Listing, object_id: str) -> None:
    """Keep, for a day, the place of an object that is about to be deleted, so that it still works as a cursor.

    Programs delete while they list: `for a in client.beta.assistants.list(): client.beta.assistants.delete(a.id)` asks
    for the second page with the id of an object that is gone.
    """
    now = clock.now_s()
    conn.execute(
        delete(deleted_objects).where(
            (deleted_objects.c.deleted_at < now - _REMEMBER_S)
            | ((deleted_objects.c.scope == listing.scope) & (deleted_objects.c.id == object_id))
        )
    )
    seq = conn.scalar(select(listing.table.c.seq).where(*listing.where(), listing.key == object_id))
    if seq is not None:
        conn.execute(insert(deleted_objects).values(scope=listing.scope, id=object_id, seq=seq, deleted_at=now))


def _place(conn: Connection, listing: Listing, cursor: str, param: str) -> int:
    seq = conn.scalar(select(listing.table.c.seq).where(*listing.where(), listing.key == cursor))
    if seq is None:
        seq = conn.scalar(
            select(deleted_objects.c.seq).where(
                deleted_objects.c.scope == listing.scope, deleted_objects.c.id == cursor
            )
        )
    if seq is None:
        raise BadRequestError(f"Invalid '{param}': no object of this list has the id '{cursor}'.", param=param)
    return int(seq)
