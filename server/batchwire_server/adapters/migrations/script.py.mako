"""${message[0].upper()}${message[1:]}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
oldest_code = ${repr(config.attributes["oldest_code"])}  # the oldest revision whose code can run on this schema


def upgrade() -> None:
    """Apply the revision."""
    ${upgrades if upgrades else "pass"}
