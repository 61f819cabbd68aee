"""The migrations make the schema that the tables declare."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import (
    Migrations,
    SchemaError,
    SchemaState,
    alembic_config,
    migrate,
    read_schema,
)
from sqlalchemy import Connection
from sqlmodel import SQLModel

from tests.ports.sql_harness import SqlHarness, over_sql

pytestmark = over_sql

NEWEST = ScriptDirectory.from_config(alembic_config()).get_current_head()


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_migrations_and_tables_do_not_differ(sql_harness: SqlHarness) -> None:
    async with sql_harness.database.read() as connection:
        assert await connection.run_sync(differences) == []


INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes "
    "WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY indexname",
}


async def test_partial_indexes_of_migrations_and_tables_have_the_same_conditions(
    sql_harness: SqlHarness, empty_database: Database
) -> None:
    async with empty_database.write() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    query = INDEXES[sql_harness.database.dialect]
    async with sql_harness.database.read() as migrated, empty_database.read() as declared:
        assert (await migrated.exec_driver_sql(query)).all() == (await declared.exec_driver_sql(query)).all()


async def test_migrating_again_changes_nothing(sql_harness: SqlHarness) -> None:
    before = await sql_harness.all_tasks()
    await migrate(sql_harness.database)
    assert await sql_harness.all_tasks() == before


async def test_processes_that_start_at_once_migrate_once(empty_databases: list[Database]) -> None:
    await asyncio.gather(*(migrate(database) for database in empty_databases))
    async with empty_databases[0].read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM task")).scalar_one() == 2


async def make_newer(database: Database, oldest_code: str | None) -> None:
    """Give the database a schema revision that this code does not know."""
    async with database.write() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        if oldest_code is not None:
            await connection.exec_driver_sql(
                "CREATE TABLE IF NOT EXISTS schema_revision (revision VARCHAR PRIMARY KEY, oldest_code VARCHAR NOT NULL)"
            )
            await connection.exec_driver_sql(f"INSERT INTO schema_revision VALUES ('9999', '{oldest_code}')")


async def test_code_starts_on_a_newer_compatible_schema_and_logs_one_line(
    sql_harness: SqlHarness, caplog: pytest.LogCaptureFixture
) -> None:
    await make_newer(sql_harness.database, "0001")
    with caplog.at_level(logging.INFO, "batchwire_server"):
        await migrate(sql_harness.database)
    assert [record.message for record in caplog.records if "9999" in record.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("oldest_code", [None, "9999"])
async def test_code_refuses_a_newer_schema_that_is_not_known_to_be_compatible(
    sql_harness: SqlHarness, oldest_code: str | None
) -> None:
    await make_newer(sql_harness.database, oldest_code)
    with pytest.raises(SchemaError, match=rf"^database \S+ has schema revision 9999, .* up to {NEWEST}:") as refused:
        await migrate(sql_harness.database)
    assert "\n" not in str(refused.value)
    assert (await read_schema(sql_harness.database)).state is SchemaState.INCOMPATIBLE


async def make_older(database: Database) -> None:
    """Give the database the first revision's schema."""
    async with database.write() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "0001"))


@pytest.mark.parametrize("allowed", [Migrations.NONE, Migrations.CREATE])
async def test_an_older_schema_is_refused_where_its_migration_is_not_allowed(
    empty_database: Database, allowed: Migrations
) -> None:
    await make_older(empty_database)
    with pytest.raises(
        SchemaError, match=f"revision 0001, and this release needs {NEWEST}: run `batchwire-server migrate`"
    ):
        await migrate(empty_database, allowed)
    assert (await read_schema(empty_database)).state is SchemaState.OLDER
    assert (await migrate(empty_database)).state is SchemaState.CURRENT


@pytest.mark.parametrize("allowed", [Migrations.CREATE, Migrations.ALL])
async def test_an_empty_database_gets_the_newest_schema(empty_database: Database, allowed: Migrations) -> None:
    schema = await migrate(empty_database, allowed)
    assert schema == await read_schema(empty_database)
    assert schema.state is SchemaState.CURRENT


async def test_an_empty_database_is_left_empty_where_no_migration_is_allowed(empty_database: Database) -> None:
    with pytest.raises(SchemaError, match=r"^database \S+ has no schema: run `batchwire-server migrate`"):
        await migrate(empty_database, Migrations.NONE)
    assert (await read_schema(empty_database)).state is SchemaState.EMPTY
    assert empty_database.is_missing is (empty_database.dialect == "sqlite")


async def test_reading_the_schema_waits_for_no_writer(sql_harness: SqlHarness) -> None:
    async with sql_harness.database.write():
        assert (await read_schema(sql_harness.database)).state is SchemaState.CURRENT


async def test_processes_that_migrate_an_older_schema_at_once_migrate_once(
    empty_databases: list[Database], caplog: pytest.LogCaptureFixture
) -> None:
    await make_older(empty_databases[0])
    with caplog.at_level(logging.INFO, "batchwire_server"):
        found = await asyncio.gather(*(migrate(database) for database in empty_databases))
    assert [schema.state for schema in found] == [SchemaState.CURRENT] * 4
    assert len([record for record in caplog.records if "migrating" in record.message]) == 1
