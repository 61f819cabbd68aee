"""Brings the schema up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from batchwire_server.adapters.sql.engine import Database

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def alembic_config(connection: Connection | None = None) -> Config:
    """Returns alembic's configuration, for a connection whose transaction is open."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


async def migrate(database: Database) -> None:
    """Applies what is missing of the schema, in one transaction; a process that comes second waits and finds nothing to do."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "head")

    async with database.write() as connection:
        await database.alone(connection)
        await connection.run_sync(upgrade)
