"""How alembic runs here: over the connection that `migrate.py` hands it, inside its transaction."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from batchwire_server.adapters.sql import tables as tables  # declares the schema

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
context.run_migrations()
