"""The command `migrate`: it opens the database and nothing else."""

from __future__ import annotations

from batchwire_server.adapters.sql.migrate import Migrations, Schema, SchemaState, read_schema
from batchwire_server.roles.adapters import connect_database, open_database
from batchwire_server.settings import Settings

EXIT_STATUSES = {
    SchemaState.CURRENT: 0,
    SchemaState.NEWER: 0,
    SchemaState.EMPTY: 1,
    SchemaState.OLDER: 1,
    SchemaState.INCOMPATIBLE: 2,
}
"""Exit statuses of `migrate --check`. Scripts rely on them."""


async def run(settings: Settings) -> str:
    """Apply missing migrations. Return a sentence that says which schema the database has."""
    async with open_database(settings, Migrations.ALL) as database:
        return describe(await read_schema(database))


async def check(settings: Settings) -> tuple[int, str]:
    """Return an exit status, and a sentence that says why. Changes nothing."""
    async with connect_database(settings) as database:
        schema = await read_schema(database)
    return EXIT_STATUSES[schema.state], schema.problem or describe(schema)


def describe(schema: Schema) -> str:
    """Return a sentence about a schema that this release can run on."""
    sentence = f"database {schema.place} has schema revision {schema.revision}"
    if schema.state is SchemaState.NEWER:
        return f"{sentence}, which is newer than {schema.newest} and compatible with it"
    return sentence
