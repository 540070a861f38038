"""Rows to `VectorStore`, `VectorStoreFile`, `VectorStoreFileBatch` and back.

Counts, sizes and states of stores and batches are never kept: they are counted from the files' rows. A store's
`index_version` grows in the transaction that changes which completed files it has or their attributes, so an index that
was built for a version is right as long as the version is the same.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert

from localassist import clock
from localassist.store.jobs import IngestJob, held_file
from localassist.store.pages import Listing, PageQuery, fetch_page, remember_place
from localassist.store.schema import (
    WAITING,
    body_of,
    files,
    vector_store_file_batches,
    vector_store_files,
    vector_stores,
)
from localassist.types.common import AttributeValue, ListPage
from localassist.types.vector_store import (
    FileCounts,
    IngestionReport,
    VectorStore,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileError,
    VectorStoreFileStatus,
)

_S_PER_DAY: Final = 86_400
_COLUMNS = ("id", "last_active_at", "expires_at")
_COUNTED = ("file_counts", "usage_bytes", "status")
_BATCH_COUNTED = ("file_counts", "status")
_LIST: Final = Listing(vector_stores, vector_stores.c.id)


@dataclass(frozen=True, slots=True)
class IndexedRow:
    """A completed file of a store: what a search needs to know of it."""

    file_id: str
    filename: str
    content_key: str
    attributes: Mapping[str, AttributeValue]


def insert(conn: Connection, vs: VectorStore, *, assistant_id: str | None = None) -> None:
    """Keep a new, empty store; `assistant_id` where it is to hold the `file_ids` of an assistant."""
    values = {name: getattr(vs, name) for name in _COLUMNS}
    body = body_of(vs, *_COLUMNS, *_COUNTED)
    conn.execute(sql_insert(vector_stores).values(**values, index_version=1, body=body, assistant_id=assistant_id))


def get(conn: Connection, store_id: str) -> VectorStore | None:
    """Read a store."""
    row = conn.execute(select(vector_stores).where(vector_stores.c.id == store_id)).first()
    return None if row is None else _stores(conn, [row])[0]


def assistant_of(conn: Connection, store_id: str) -> str | None:
    """Name the assistant whose `file_ids` a store holds; None when it was not made for that, or is gone."""
    return conn.scalar(select(vector_stores.c.assistant_id).where(vector_stores.c.id == store_id))


def list_page(conn: Connection, q: PageQuery) -> ListPage[VectorStore]:
    """Read a page of all stores."""
    return fetch_page(conn, _LIST, q, lambda rows: _stores(conn, rows))


def replace(conn: Connection, vs: VectorStore) -> bool:
    """Write what is not counted of `vs` over the store of its id; False when there is none."""
    values = {name: getattr(vs, name) for name in _COLUMNS} | {"body": body_of(vs, *_COLUMNS, *_COUNTED)}
    return conn.execute(update(vector_stores).where(vector_stores.c.id == vs.id).values(values)).rowcount > 0


def touch(conn: Connection, store_id: str, now: int) -> bool:
    """Note that a store was used, which puts off its expiry; False when there is none or it has expired."""
    table = vector_stores
    alive = (table.c.id == store_id, or_(table.c.expires_at.is_(None), table.c.expires_at > now))
    body = conn.scalar(select(table.c.body).where(*alive))
    if body is None:
        return False
    after = body.get("expires_after")
    expires_at = None if after is None else now + after["days"] * _S_PER_DAY
    conn.execute(update(table).where(*alive).values(last_active_at=now, expires_at=expires_at))
    return True


def expired(conn: Connection, now: float) -> list[str]:
    """Give the ids of the stores whose time is over."""
    table = vector_stores
    return list(conn.scalars(select(table.c.id).where(table.c.expires_at <= now).order_by(table.c.seq)))


def delete(conn: Connection, store_id: str) -> bool:
    """Delete a store with its entries of files and its batches; the files stay. False when there is none."""
    remember_place(conn, _LIST, store_id)
    return conn.execute(sql_delete(vector_stores).where(vector_stores.c.id == store_id)).rowcount > 0


def index_version(conn: Connection, store_id: str) -> int | None:
    """Give the version of what a search in the store sees; None when there is no such store."""
    return conn.scalar(select(vector_stores.c.index_version).where(vector_stores.c.id == store_id))


def indexed_files(conn: Connection, store_id: str) -> list[IndexedRow]:
    """Give the completed files of a store, in the order in which they were added."""
    table = vector_store_files
    rows = conn.execute(
        select(table.c.file_id, files.c.body, table.c.content_key, table.c.attributes)
        .join(files, files.c.id == table.c.file_id)
        .where(table.c.store_id == store_id, table.c.status == "completed", table.c.content_key.is_not(None))
        .order_by(table.c.seq)
    )
    return [IndexedRow(row.file_id, row.body["filename"], row.content_key, row.attributes) for row in rows]


def live_content_keys(conn: Connection) -> set[str]:
    """Give the content that some store still uses."""
    column = vector_store_files.c.content_key
    return {key for key in conn.scalars(select(column).where(column.is_not(None)).distinct()) if key is not None}


def insert_file(conn: Connection, f: VectorStoreFile, *, batch_id: str | None = None) -> None:
    """Add a file to a store and queue it. A file that is there already is replaced and queued again."""
    table = vector_store_files
    old = conn.execute(
        sql_delete(table)
        .where(table.c.store_id == f.vector_store_id, table.c.file_id == f.id)
        .returning(table.c.status)
    ).first()
    if old is not None and old.status == "completed":
        _bump(conn, f.vector_store_id)
    shown = f.model_dump(mode="json")
    conn.execute(
        sql_insert(table).values(
            store_id=f.vector_store_id,
            file_id=f.id,
            batch_id=batch_id,
            created_at=f.created_at,
            status=f.status,
            last_error=shown["last_error"],
            chunking=shown["chunking_strategy"],
            attributes=shown["attributes"],
            usage_bytes=f.usage_bytes,
            report=shown.get("report"),
            attempt=0,
            deaths=0,
        )
    )


def get_file(conn: Connection, store_id: str, file_id: str) -> VectorStoreFile | None:
    """Read a file as it stands in a store."""
    row = conn.execute(select(vector_store_files).where(*_entry(store_id, file_id))).first()
    return None if row is None else _file(row)


def content_key(conn: Connection, store_id: str, file_id: str) -> str | None:
    """Name the prepared content of a completed file; None when the store has no such file or it is not completed."""
    table = vector_store_files
    return conn.scalar(select(table.c.content_key).where(*_entry(store_id, file_id), table.c.status == "completed"))


def list_files_page(
    conn: Connection,
    store_id: str,
    q: PageQuery,
    *,
    status: VectorStoreFileStatus | None = None,
    batch_id: str | None = None,
) -> ListPage[VectorStoreFile]:
    """Read a page of a store's files: all, or those with one status, or those of one batch."""
    table = vector_store_files
    filters: list[ColumnElement[bool]] = []
    if status is not None:
        filters.append(table.c.status == status)
    if batch_id is not None:
        filters.append(table.c.batch_id == batch_id)
    return fetch_page(conn, _files_of(store_id), q, _entries, filters=filters)


def replace_attributes(conn: Connection, store_id: str, file_id: str, attributes: Mapping[str, AttributeValue]) -> bool:
    """Write the attributes of a file in a store; False when the store has no such file."""
    done = conn.execute(
        update(vector_store_files).where(*_entry(store_id, file_id)).values(attributes=dict(attributes))
    )
    if done.rowcount > 0:
        _bump(conn, store_id)
    return done.rowcount > 0


def delete_file(conn: Connection, store_id: str, file_id: str) -> bool:
    """Remove a file from a store; the file itself stays. False when the store has no such file."""
    remember_place(conn, _files_of(store_id), file_id)
    gone = conn.execute(sql_delete(vector_store_files).where(*_entry(store_id, file_id))).rowcount > 0
    if gone:
        _bump(conn, store_id)
    return gone


def newest_waiting(conn: Connection, store_ids: Sequence[str], *, upto: int | None = None) -> int | None:
    """Give the number of the file that was added last of those not yet indexed, at most `upto`; None without any."""
    table = vector_store_files
    waiting = select(func.max(table.c.seq)).where(table.c.store_id.in_(store_ids), WAITING)
    newest: int | None = conn.execute(waiting if upto is None else waiting.where(table.c.seq <= upto)).scalar_one()
    return newest


def finish_file(
    conn: Connection,
    job: IngestJob,
    *,
    status: VectorStoreFileStatus,
    last_error: VectorStoreFileError | None,
    usage_bytes: int,
    report: IngestionReport | None,
    content_key: str | None,
) -> bool:
    """Write what became of a claimed file, in the transaction that lets searches see it.

    False, with nothing written, when the job was lost meanwhile, or its file or store deleted.
    """
    done = conn.execute(
        held_file(job).values(
            status=status,
            last_error=None if last_error is None else last_error.model_dump(mode="json"),
            usage_bytes=usage_bytes,
            report=None if report is None else report.model_dump(mode="json"),
            content_key=content_key,
            worker=None,
            lease_until=None,
        )
    )
    if done.rowcount > 0 and status == "completed":
        _bump(conn, job.store_id)
    return done.rowcount > 0


def insert_batch(conn: Connection, batch: VectorStoreFileBatch) -> None:
    """Keep a new batch; its files are those added with its id."""
    conn.execute(
        sql_insert(vector_store_file_batches).values(
            id=batch.id,
            store_id=batch.vector_store_id,
            cancelled=batch.status == "cancelled",
            body=body_of(batch, "id", "vector_store_id", *_BATCH_COUNTED),
        )
    )


def get_batch(conn: Connection, store_id: str, batch_id: str) -> VectorStoreFileBatch | None:
    """Read a batch of this store."""
    table = vector_store_file_batches
    row = conn.execute(select(table).where(table.c.store_id == store_id, table.c.id == batch_id)).first()
    if row is None:
        return None
    counts, _ = _count(conn, vector_store_files.c.batch_id, [batch_id])[batch_id]
    status = "cancelled" if row.cancelled else _status_of(counts)
    return VectorStoreFileBatch.model_validate(
        {**row.body, "id": row.id, "vector_store_id": row.store_id, "status": status, "file_counts": counts}
    )


def cancel_batch(conn: Connection, store_id: str, batch_id: str) -> bool:
    """Cancel a batch and its files that no worker has begun; False when the store has no such batch."""
    table = vector_store_file_batches
    done = conn.execute(
        update(table).where(table.c.store_id == store_id, table.c.id == batch_id).values(cancelled=True)
    )
    if done.rowcount > 0:
        waiting = vector_store_files
        conn.execute(
            update(waiting)
            .where(waiting.c.batch_id == batch_id, waiting.c.status == "in_progress", waiting.c.worker.is_(None))
            .values(status="cancelled")
        )
    return done.rowcount > 0


def _bump(conn: Connection, store_id: str) -> None:
    table = vector_stores
    conn.execute(update(table).where(table.c.id == store_id).values(index_version=table.c.index_version + 1))


def _entry(store_id: str, file_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return vector_store_files.c.store_id == store_id, vector_store_files.c.file_id == file_id


def _files_of(store_id: str) -> Listing:
    return Listing(vector_store_files, vector_store_files.c.file_id, vector_store_files.c.store_id, store_id)


def _count(conn: Connection, by: Column[Any], keys: Sequence[str]) -> Mapping[str, tuple[FileCounts, int]]:
    """Count the files of stores or batches by status, and the bytes that they use."""
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    used: defaultdict[str, int] = defaultdict(int)
    table = vector_store_files
    grouped = (
        select(by, table.c.status, func.count(), func.sum(table.c.usage_bytes))
        .where(by.in_(keys))
        .group_by(by, table.c.status)
    )
    for key, status, n, n_bytes in conn.execute(grouped):
        counts[key][status] = n
        used[key] += int(n_bytes)
    return {key: (FileCounts(**counts[key], total=sum(counts[key].values())), used[key]) for key in keys}


def _status_of(counts: FileCounts) -> VectorStoreFileStatus:
    return "in_progress" if counts.in_progress else "completed"


def _stores(conn: Connection, rows: Sequence[Row[Any]]) -> list[VectorStore]:
    counted = _count(conn, vector_store_files.c.store_id, [row.id for row in rows])
    now = clock.now()
    stores = []
    for row in rows:
        counts, used = counted[row.id]
        over = row.expires_at is not None and row.expires_at <= now
        stores.append(
            VectorStore.model_validate(
                {
                    **row.body,
                    **{name: getattr(row, name) for name in _COLUMNS},
                    "file_counts": counts,
                    "usage_bytes": used,
                    "status": "expired" if over else _status_of(counts),
                }
            )
        )
    return stores


def _file(row: Row[Any]) -> VectorStoreFile:
    return VectorStoreFile.model_validate(
        {
            "id": row.file_id,
            "vector_store_id": row.store_id,
            "created_at": row.created_at,
            "status": row.status,
            "last_error": row.last_error,
            "chunking_strategy": row.chunking,
            "attributes": row.attributes,
            "usage_bytes": row.usage_bytes,
            "report": row.report,
        }
    )


def _entries(rows: Sequence[Row[Any]]) -> list[VectorStoreFile]:
    return [_file(row) for row in rows]
