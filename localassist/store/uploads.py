"""Rows to `Upload` and back; its parts, until the file is whole."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, update
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert

from localassist.store.schema import body_of, upload_parts, uploads
from localassist.types.upload import Upload

_COLUMNS = ("id", "status", "expires_at")


class Part(NamedTuple):
    """A part that has come: its id, the blob that holds its bytes, and their number."""

    id: str
    sha256: str
    bytes: int


def insert(conn: Connection, upload: Upload) -> None:
    """Keep a new upload."""
    values = {name: getattr(upload, name) for name in _COLUMNS}
    conn.execute(sql_insert(uploads).values(**values, body=body_of(upload, *_COLUMNS)))


def get(conn: Connection, upload_id: str) -> Upload | None:
    """Read an upload."""
    row = conn.execute(select(uploads).where(uploads.c.id == upload_id)).first()
    return None if row is None else _upload(row)


def lock(conn: Connection, upload_id: str) -> None:
    """Let no other transaction write this upload until this one has ended; there may be none."""
    conn.execute(select(uploads.c.seq).where(uploads.c.id == upload_id).with_for_update())


def replace(conn: Connection, upload: Upload) -> None:
    """Write `upload` over the one of its id."""
    values = {"status": upload.status, "body": body_of(upload, *_COLUMNS)}
    conn.execute(update(uploads).where(uploads.c.id == upload.id).values(values))


def set_sha256(conn: Connection, upload_id: str, sha256: str | None) -> None:
    """Name the blob that the parts are joined to, so that nobody takes it for unused; None: no more."""
    conn.execute(update(uploads).where(uploads.c.id == upload_id).values(sha256=sha256))


def insert_part(conn: Connection, upload_id: str, part: Part) -> None:
    """Keep a part."""
    values = {"id": part.id, "upload_id": upload_id, "sha256": part.sha256, "bytes": part.bytes}
    conn.execute(sql_insert(upload_parts).values(values))


def parts(conn: Connection, upload_id: str) -> dict[str, Part]:
    """Read the parts of an upload, by their ids."""
    found = conn.execute(
        select(upload_parts.c.id, upload_parts.c.sha256, upload_parts.c.bytes).where(
            upload_parts.c.upload_id == upload_id
        )
    )
    return {row.id: Part(row.id, row.sha256, row.bytes) for row in found}


def received_bytes(conn: Connection, upload_id: str) -> int:
    """Count the bytes of all parts of an upload."""
    return int(conn.scalar(select(func.sum(upload_parts.c.bytes)).where(upload_parts.c.upload_id == upload_id)) or 0)


def discard_parts(conn: Connection, upload_id: str) -> list[str]:
    """Forget the parts of an upload, and what they were being joined to; give their blobs, which stay."""
    blobs = set(
        conn.scalars(
            sql_delete(upload_parts).where(upload_parts.c.upload_id == upload_id).returning(upload_parts.c.sha256)
        )
    )
    joined = conn.scalar(select(uploads.c.sha256).where(uploads.c.id == upload_id))
    if joined is not None:
        blobs.add(joined)
        set_sha256(conn, upload_id, None)
    return sorted(blobs)


def expired(conn: Connection, now: float) -> list[str]:
    """Give the ids of the uploads whose time is over before they were completed."""
    over = and_(uploads.c.status == "pending", uploads.c.expires_at <= now)
    return list(conn.scalars(select(uploads.c.id).where(over).order_by(uploads.c.seq)))


def ended_with_parts(conn: Connection) -> list[str]:
    """Give the ids of the uploads that have ended, and whose parts a killed process left behind."""
    with_parts = exists().where(upload_parts.c.upload_id == uploads.c.id)
    left = and_(uploads.c.status != "pending", or_(with_parts, uploads.c.sha256.is_not(None)))
    return list(conn.scalars(select(uploads.c.id).where(left).order_by(uploads.c.seq)))


def delete_before(conn: Connection, time: float) -> int:
    """Forget uploads that ended and whose hour was over before `time`; give their number."""
    old: Sequence[Any] = (uploads.c.status != "pending", uploads.c.expires_at < time, uploads.c.sha256.is_(None))
    return conn.execute(
        sql_delete(uploads).where(*old, ~exists().where(upload_parts.c.upload_id == uploads.c.id))
    ).rowcount


def _upload(row: Row[Any]) -> Upload:
    return Upload.model_validate({**row.body, **{name: getattr(row, name) for name in _COLUMNS}})
