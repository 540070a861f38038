"""The first tables: everything that the API keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ACTIVE = sa.text("status IN ('queued', 'in_progress', 'requires_action', 'cancelling')")
_CLAIMABLE = sa.text("status IN ('queued', 'in_progress', 'cancelling')")
_WAITING = sa.text("status IN ('in_progress')")


def upgrade() -> None:
    """Make the tables."""
    _conversations()
    _runs()
    _files()
    _vector_stores()


def _seq() -> sa.Column[int]:
    return sa.Column("seq", _WHOLE, sa.Identity(), nullable=False)


def _conversations() -> None:
    op.create_table(
        "assistants",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_assistants"),
        sa.UniqueConstraint("id", name="uq_assistants_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "threads",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_threads"),
        sa.UniqueConstraint("id", name="uq_threads_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "messages",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name="fk_messages_thread_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_messages"),
        sa.UniqueConstraint("id", name="uq_messages_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_messages_thread_id_run_id_seq", "messages", ["thread_id", "run_id", "seq"], unique=False)
    op.create_index("ix_messages_thread_id_seq", "messages", ["thread_id", "seq"], unique=False)
    op.create_table(
        "deleted_objects",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", _WHOLE, nullable=False),
        sa.Column("deleted_at", _WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("scope", "id", name="pk_deleted_objects"),
    )
    op.create_index("ix_deleted_objects_deleted_at", "deleted_objects", ["deleted_at"], unique=False)


def _runs() -> None:
    op.create_table(
        "runs",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_at", _WHOLE, nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name="fk_runs_thread_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_runs"),
        sa.UniqueConstraint("id", name="uq_runs_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_runs_expiry", "runs", ["expires_at"], unique=False, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    op.create_index(
        "ix_runs_queue", "runs", ["seq"], unique=False, sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE
    )
    op.create_index("ix_runs_thread_id_seq", "runs", ["thread_id", "seq"], unique=False)
    op.create_index(
        "uq_runs_one_active", "runs", ["thread_id"], unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
    )
    op.create_table(
        "run_steps",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_steps_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name="pk_run_steps"),
        sa.UniqueConstraint("id", name="uq_run_steps_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_steps_run_id_seq", "run_steps", ["run_id", "seq"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("seq", _WHOLE, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_events_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_run_events"),
    )


def _files() -> None:
    op.create_table(
        "files",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("expires_at", _WHOLE, nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_files"),
        sa.UniqueConstraint("id", name="uq_files_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_files_expires_at", "files", ["expires_at"], unique=False)
    op.create_index("ix_files_purpose_seq", "files", ["purpose", "seq"], unique=False)
    op.create_index("ix_files_sha256", "files", ["sha256"], unique=False)


def _vector_stores() -> None:
    op.create_table(
        "vector_stores",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("last_active_at", _WHOLE, nullable=False),
        sa.Column("expires_at", _WHOLE, nullable=True),
        sa.Column("index_version", _WHOLE, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_vector_stores"),
        sa.UniqueConstraint("id", name="uq_vector_stores_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_vector_stores_expires_at", "vector_stores", ["expires_at"], unique=False)
    op.create_table(
        "vector_store_file_batches",
        _seq(),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["store_id"], ["vector_stores.id"], name="fk_vector_store_file_batches_store_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_vector_store_file_batches"),
        sa.UniqueConstraint("id", name="uq_vector_store_file_batches_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_vector_store_file_batches_store_id_seq", "vector_store_file_batches", ["store_id", "seq"], unique=False
    )
    op.create_table(
        "vector_store_files",
        _seq(),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("file_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("created_at", _WHOLE, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("last_error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("chunking", sa.JSON(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("usage_bytes", _WHOLE, nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("content_key", sa.Text(), nullable=True),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="fk_vector_store_files_file_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["store_id"], ["vector_stores.id"], name="fk_vector_store_files_store_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_vector_store_files"),
        sa.UniqueConstraint("store_id", "file_id", name="uq_vector_store_files_store_id_file_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_vector_store_files_batch_id_seq", "vector_store_files", ["batch_id", "seq"], unique=False)
    op.create_index("ix_vector_store_files_content_key", "vector_store_files", ["content_key"], unique=False)
    op.create_index("ix_vector_store_files_file_id", "vector_store_files", ["file_id"], unique=False)
    op.create_index(
        "ix_vector_store_files_queue",
        "vector_store_files",
        ["seq"],
        unique=False,
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index("ix_vector_store_files_store_id_seq", "vector_store_files", ["store_id", "seq"], unique=False)
    op.create_index(
        "ix_vector_store_files_store_id_status_usage_bytes",
        "vector_store_files",
        ["store_id", "status", "usage_bytes"],
        unique=False,
    )
