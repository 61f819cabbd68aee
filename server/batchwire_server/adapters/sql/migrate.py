"""The schema's revisions: which one a database has, and the migrations to this release's.

Migrations only add, so that code of an older revision can run on a newer schema. The table
`schema_revision` names for each revision the oldest revision whose code can run on it. There are no
downgrades: a rollback runs the older code on the newer schema.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, delete, insert, inspect, select

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.tables import SCHEMA_REVISION

MIGRATIONS = Path(__file__).parent.parent / "migrations"

log = logging.getLogger(__name__)


class SchemaError(Exception):
    """The database's schema is one that this process can neither use nor migrate."""


class SchemaState(Enum):
    """A database's schema, compared with this release's."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer, and this release can run on it"
    INCOMPATIBLE = "newer, and this release cannot run on it"


class Migrations(Enum):
    """The states of the schema from which a process may migrate."""

    NONE = frozenset[SchemaState]()
    CREATE = frozenset({SchemaState.EMPTY})
    ALL = frozenset({SchemaState.EMPTY, SchemaState.OLDER})


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a database.

    Attributes:
        place: names the database in messages.
        revision: the database's revision. None means that it has no schema.
        newest: the newest revision that this release knows.
        oldest_code: of a revision that is newer, the oldest revision whose code can run on it. None
            means that the database does not say.
        state: how `revision` compares with `newest`.
    """

    place: str
    revision: str | None
    newest: str
    oldest_code: str | None
    state: SchemaState

    @property
    def problem(self) -> str | None:
        """One sentence that says why this release cannot run and what to do next, or None."""
        match self.state:
            case SchemaState.EMPTY:
                found = f"database {self.place} has no schema"
            case SchemaState.OLDER:
                found = (
                    f"database {self.place} has schema revision {self.revision}, and this release needs {self.newest}"
                )
            case SchemaState.INCOMPATIBLE:
                return (
                    f"database {self.place} has schema revision {self.revision}, "
                    f"and this release knows revisions up to {self.newest}: "
                    f"install a release that can run on {self.revision}"
                )
            case _:
                return None
        return f"{found}: run `batchwire-server migrate` with the same --database or --data-dir, then start again"


async def read_schema(database: Database) -> Schema:
    """Return which schema a database has. A missing SQLite file is not created."""
    if database.is_missing:
        return Schema(database.place, None, _newest(), None, SchemaState.EMPTY)
    async with database.read() as connection:
        return await connection.run_sync(_read_schema, database.place)


async def migrate(database: Database, allowed: Migrations = Migrations.ALL) -> Schema:
    """Make sure that this release can run on a database. Return the schema that it then has.

    All missing migrations are applied in one transaction, which excludes those of other processes.
    A second process waits and finds nothing to do. A newer compatible schema stays as it is.

    Args:
        database: the open database.
        allowed: from which states to migrate.

    Raises:
        SchemaError: the schema needs a migration that is not allowed, or is newer and this release
            cannot run on it.
    """
    schema = await read_schema(database)
    if schema.state in allowed.value:
        async with database.migrate() as connection:
            schema = await connection.run_sync(_upgrade, database.place, allowed)
    if schema.problem:
        raise SchemaError(schema.problem)
    if schema.state is SchemaState.NEWER:
        log.info(
            "database %s has the newer schema revision %s, which code of revision %s or newer can run on",
            schema.place,
            schema.revision,
            schema.oldest_code,
        )
    return schema


def alembic_config(connection: Connection | None = None) -> Config:
    """Return alembic's configuration, for a connection whose transaction is open."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _newest() -> str:
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def _read_schema(connection: Connection, place: str) -> Schema:
    scripts = ScriptDirectory.from_config(alembic_config())
    newest = _newest()
    revision = MigrationContext.configure(connection).get_current_revision()
    oldest_code: str | None = None
    if revision is None:
        state = SchemaState.EMPTY
    elif revision == newest:
        state = SchemaState.CURRENT
    elif revision in {script.revision for script in scripts.walk_revisions()}:
        state = SchemaState.OLDER
    else:
        oldest_code = _oldest_code(connection, revision)
        # Revisions are numbers of one width, so that they compare as text.
        runs = oldest_code is not None and oldest_code <= newest
        state = SchemaState.NEWER if runs else SchemaState.INCOMPATIBLE
    return Schema(place, revision, newest, oldest_code, state)


def _oldest_code(connection: Connection, revision: str) -> str | None:
    """Return what the database itself says of a revision that this release does not know."""
    if not inspect(connection).has_table(SCHEMA_REVISION.name):
        return None
    wanted = select(SCHEMA_REVISION.c.oldest_code).where(SCHEMA_REVISION.c.revision == revision)
    return connection.execute(wanted).scalar()


def _upgrade(connection: Connection, place: str, allowed: Migrations) -> Schema:
    """Apply the missing migrations, unless another process has done it in the meantime."""
    found = _read_schema(connection, place)
    if found.state not in allowed.value:
        return found
    log.info(
        "migrating database %s from schema revision %s to %s",
        place,
        found.revision or "none",
        found.newest,
    )
    config = alembic_config(connection)
    command.upgrade(config, "head")
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    rows = [{"revision": script.revision, "oldest_code": script.module.oldest_code} for script in scripts]
    connection.execute(delete(SCHEMA_REVISION))
    connection.execute(insert(SCHEMA_REVISION), rows)
    return _read_schema(connection, place)
