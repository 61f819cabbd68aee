"""Brings the schema up to date."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from batchwire_server.adapters.sql.engine import Database

MIGRATIONS = Path(__file__).parent.parent / "migrations"

_OLDEST_CODE = text("SELECT oldest_code FROM schema_revision WHERE revision = :revision")

log = logging.getLogger(__name__)


class SchemaError(Exception):
    """This release cannot work with the database's schema."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Returns alembic's configuration, for a connection whose transaction is open."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def oldest_code(connection: Connection, revision: str) -> str | None:
    """Returns the oldest revision whose code runs on the schema of `revision`, as the database itself says; None if it does not."""
    if not inspect(connection).has_table("schema_revision"):
        return None
    return connection.execute(_OLDEST_CODE, {"revision": revision}).scalar()


def upgrade(connection: Connection) -> None:
    """Applies what is missing of the schema. Leaves a newer schema alone if this release can run on it, and raises SchemaError if it cannot."""
    config = alembic_config(connection)
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or revision in {script.revision for script in scripts.walk_revisions()}:
        command.upgrade(config, "head")
        return
    oldest = oldest_code(connection, revision)
    # Revisions are numbers of one width, so that their order is that of their text.
    if newest is None or oldest is None or oldest > newest:
        raise SchemaError(
            f"the database has schema revision {revision}, and this release knows revisions up to {newest}: "
            f"install a release that runs on {revision}"
        )
    log.info("the database has the newer schema revision %s, which code of revision %s can run on", revision, oldest)


async def migrate(database: Database) -> None:
    """Applies what is missing of the schema, in one transaction; a process that comes second waits and finds nothing to do.

    Raises SchemaError when the schema is newer than this release, and not compatible with it.
    """
    async with database.write() as connection:
        await database.alone(connection)
        await connection.run_sync(upgrade)
