"""Rows to `FileObject` and back."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, or_, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert

from localassist.store.pages import Listing, PageQuery, fetch_page, remember_place
from localassist.store.schema import body_of, files, upload_parts, uploads, vector_store_files, vector_stores
from localassist.types.common import ListPage
from localassist.types.file import FileObject

_COLUMNS = ("id", "purpose", "expires_at")
_LIST: Final = Listing(files, files.c.id)


def insert(conn: Connection, f: FileObject, *, sha256: str) -> None:
    """Keep a new file, whose bytes are the blob `sha256`."""
    values = {name: getattr(f, name) for name in _COLUMNS}
    conn.execute(sql_insert(files).values(**values, sha256=sha256, body=body_of(f, *_COLUMNS)))


def get(conn: Connection, file_id: str) -> FileObject | None:
    """Read a file."""
    row = conn.execute(select(files).where(files.c.id == file_id)).first()
    return None if row is None else _file(row)


def get_sha256(conn: Connection, file_id: str) -> str | None:
    """Name the blob of a file."""
    return conn.scalar(select(files.c.sha256).where(files.c.id == file_id))


def list_page(conn: Connection, q: PageQuery, *, purpose: str | None = None) -> ListPage[FileObject]:
    """Read a page of all files, or of those with one purpose."""
    filters = [] if purpose is None else [files.c.purpose == purpose]
    return fetch_page(conn, _LIST, q, _files, filters=filters)


def delete(conn: Connection, file_id: str) -> bool:
    """Delete a file and remove it from every vector store; False when there is none.

    The blob stays: ask `sha256_in_use` whether another file has the same bytes.
    """
    remember_place(conn, _LIST, file_id)
    removed = sql_delete(vector_store_files).where(vector_store_files.c.file_id == file_id)
    stores = conn.scalars(removed.returning(vector_store_files.c.store_id)).all()
    conn.execute(
        update(vector_stores)
        .where(vector_stores.c.id.in_(stores))
        .values(index_version=vector_stores.c.index_version + 1)
    )
    return conn.execute(sql_delete(files).where(files.c.id == file_id)).rowcount > 0


def sha256_in_use(conn: Connection, sha256: str) -> bool:
    """Tell whether a file has the blob `sha256`, or an upload that may become one."""
    tables = (files, upload_parts, uploads)
    return bool(conn.scalar(select(or_(*(exists().where(table.c.sha256 == sha256) for table in tables)))))


def expired(conn: Connection, now: float) -> list[str]:
    """Give the ids of the files whose time is over."""
    return list(conn.scalars(select(files.c.id).where(files.c.expires_at <= now).order_by(files.c.seq)))


def _file(row: Row[Any]) -> FileObject:
    return FileObject.model_validate({**row.body, **{name: getattr(row, name) for name in _COLUMNS}})


def _files(rows: Sequence[Row[Any]]) -> list[FileObject]:
    return [_file(row) for row in rows]
