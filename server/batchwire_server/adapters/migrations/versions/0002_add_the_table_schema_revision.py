"""Add the table schema_revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest_code = "0001"  # the oldest revision whose code can run on this schema


def upgrade() -> None:
    """Apply the revision."""
    op.create_table(
        "schema_revision",
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("oldest_code", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("revision"),
    )
