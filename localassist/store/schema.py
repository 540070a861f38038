"""The tables, once, for SQLite and PostgreSQL.

A row holds an object of the API as JSON in `body`, and in columns only what is queried, counted or changed on its
own; a column is never repeated in the body, so the two cannot disagree. JSON is kept as text on both databases, because
PostgreSQL's binary form forgets the order of keys and refuses the character NUL.

Lists are sorted by `seq`, which only grows and is never used twice.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
)

from localassist.types.common import APIObject

_Whole = BigInteger().with_variant(Integer, "sqlite")
_ACTIVE: Final = ("queued", "in_progress", "requires_action", "cancelling")
_CLAIMABLE: Final = ("queued", "in_progress", "cancelling")

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _seq() -> Column[int]:
    return Column("seq", _Whole, Identity(), primary_key=True)


def _parent(name: str, table: str) -> Column[str]:
    return Column(name, Text, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


def _lease() -> tuple[Column[Any], ...]:
    return (
        Column("worker", Text),
        Column("attempt", Integer, nullable=False),
        Column("lease_until", Float(53)),
    )


def _one_of(column: Column[Any], values: tuple[str, ...]) -> ColumnElement[bool]:
    # Written into the statement: a database uses a partial index only where it sees its condition.
    return column.in_([bindparam(None, value, Text, literal_execute=True) for value in values])


def _some(name: str, *columns: Column[Any], where: ColumnElement[bool], unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


assistants: Final = Table(
    "assistants",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    Column("body", JSON, nullable=False),
    sqlite_autoincrement=True,
)

threads: Final = Table(
    "threads",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    Column("body", JSON, nullable=False),
    sqlite_autoincrement=True,
)

messages: Final = Table(
    "messages",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    _parent("thread_id", "threads"),
    Column("run_id", Text),
    Column("status", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Index(None, "thread_id", "seq"),
    Index(None, "thread_id", "run_id", "seq"),
    sqlite_autoincrement=True,
)

runs: Final = Table(
    "runs",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    _parent("thread_id", "threads"),
    Column("status", Text, nullable=False),
    Column("expires_at", _Whole),
    Column("metadata", JSON, nullable=False),
    Column("body", JSON, nullable=False),
    *_lease(),
    Index(None, "thread_id", "seq"),
    sqlite_autoincrement=True,
)
ACTIVE: Final = _one_of(runs.c.status, _ACTIVE)
"""While its run is in one of these, a thread can have no other."""
CLAIMABLE: Final = _one_of(runs.c.status, _CLAIMABLE)
"""In these, a run is a worker's to carry on."""
_some("uq_runs_one_active", runs.c.thread_id, where=ACTIVE, unique=True)
_some("ix_runs_queue", runs.c.seq, where=CLAIMABLE)
_some("ix_runs_expiry", runs.c.expires_at, where=ACTIVE)

run_steps: Final = Table(
    "run_steps",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    _parent("run_id", "runs"),
    Column("body", JSON, nullable=False),
    Index(None, "run_id", "seq"),
    sqlite_autoincrement=True,
)

run_events: Final = Table(
    "run_events",
    metadata,
    _parent("run_id", "runs"),
    Column("seq", _Whole, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
)

files: Final = Table(
    "files",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    Column("purpose", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("expires_at", _Whole),
    Column("body", JSON, nullable=False),
    Index(None, "purpose", "seq"),
    Index(None, "sha256"),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

vector_stores: Final = Table(
    "vector_stores",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    Column("last_active_at", _Whole, nullable=False),
    Column("expires_at", _Whole),
    Column("index_version", _Whole, nullable=False),
    Column("body", JSON, nullable=False),
    Column("assistant_id", Text),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)
"""`assistant_id` names the assistant whose `file_ids` (API version 1) a store holds; all others have none."""

vector_store_file_batches: Final = Table(
    "vector_store_file_batches",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    _parent("store_id", "vector_stores"),
    Column("cancelled", Boolean, nullable=False),
    Column("body", JSON, nullable=False),
    Index(None, "store_id", "seq"),
    sqlite_autoincrement=True,
)

vector_store_files: Final = Table(
    "vector_store_files",
    metadata,
    _seq(),
    _parent("store_id", "vector_stores"),
    _parent("file_id", "files"),
    Column("batch_id", Text),
    Column("created_at", _Whole, nullable=False),
    Column("status", Text, nullable=False),
    Column("last_error", JSON(none_as_null=True)),
    Column("chunking", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("usage_bytes", _Whole, nullable=False),
    Column("report", JSON(none_as_null=True)),
    Column("content_key", Text),
    Column("deaths", Integer, nullable=False),
    *_lease(),
    UniqueConstraint("store_id", "file_id"),
    Index(None, "store_id", "seq"),
    Index(None, "store_id", "status", "usage_bytes"),
    Index(None, "file_id"),
    Index(None, "batch_id", "seq"),
    Index(None, "content_key"),
    sqlite_autoincrement=True,
)
WAITING: Final = _one_of(vector_store_files.c.status, ("in_progress",))
"""Files that are to be indexed."""
_some("ix_vector_store_files_queue", vector_store_files.c.seq, where=WAITING)

uploads: Final = Table(
    "uploads",
    metadata,
    _seq(),
    Column("id", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("expires_at", _Whole, nullable=False),
    Column("sha256", Text),
    Column("body", JSON, nullable=False),
    Index(None, "status", "expires_at"),
    Index(None, "sha256"),
    sqlite_autoincrement=True,
)
"""`sha256` is the blob that an upload's parts are being joined to, until the file exists."""

upload_parts: Final = Table(
    "upload_parts",
    metadata,
    Column("id", Text, primary_key=True),
    _parent("upload_id", "uploads"),
    Column("sha256", Text, nullable=False),
    Column("bytes", _Whole, nullable=False),
    Index(None, "upload_id"),
    Index(None, "sha256"),
)

answers: Final = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("claimed_at", Float(53), nullable=False),
    Column("status", Integer),
    Column("body", Text),
    Index(None, "claimed_at"),
)
"""The first answer to each `Idempotency-Key`; `request` is what it was given with, `status` null while it is made."""

deleted_objects: Final = Table(
    "deleted_objects",
    metadata,
    Column("scope", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("seq", _Whole, nullable=False),
    Column("deleted_at", _Whole, nullable=False),
    PrimaryKeyConstraint("scope", "id"),
    Index(None, "deleted_at"),
)
"""Where deleted objects stood in their lists, for a day: who deletes while listing goes on from one of them."""


def body_of(subject: APIObject, *columns: str) -> dict[str, Any]:
    """Give the JSON of `subject` without the fields that are columns."""
    return subject.model_dump(mode="json", exclude=set(columns))
