"""Vector stores that hold the `file_ids` of an assistant know whose they are."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; stores that were there are nobody's."""
    op.add_column("vector_stores", sa.Column("assistant_id", sa.Text(), nullable=True))
