"""The migrations make the schema that the tables declare."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import SchemaError, migrate
from sqlalchemy import Connection
from sqlmodel import SQLModel

from tests.ports.sql_stage import SqlStage, over_sql

pytestmark = over_sql


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, SQLModel.metadata))


async def test_migrations_and_tables_do_not_differ(sql_stage: SqlStage) -> None:
    async with sql_stage.database.read() as connection:
        assert await connection.run_sync(differences) == []


INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes "
    "WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY indexname",
}


async def test_even_their_indexes_cover_the_same_rows(sql_stage: SqlStage, empty_database_url: str) -> None:
    fresh = Database(empty_database_url)
    async with fresh.write() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    query = INDEXES[sql_stage.database.dialect]
    async with sql_stage.database.read() as migrated, fresh.read() as declared:
        assert (await migrated.exec_driver_sql(query)).all() == (await declared.exec_driver_sql(query)).all()
    await fresh.close()


async def test_migrating_again_changes_nothing(sql_stage: SqlStage) -> None:
    before = await sql_stage.all_tasks()
    await migrate(sql_stage.database)
    assert await sql_stage.all_tasks() == before


async def test_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(4)]
    await asyncio.gather(*(migrate(database) for database in databases))
    async with databases[0].read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM task")).scalar_one() == 2
    for database in databases:
        await database.close()


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
    sql_stage: SqlStage, caplog: pytest.LogCaptureFixture
) -> None:
    await make_newer(sql_stage.database, "0001")
    with caplog.at_level(logging.INFO, "batchwire_server"):
        await migrate(sql_stage.database)
    assert [record.message for record in caplog.records if "9999" in record.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("oldest_code", [None, "9999"])
async def test_code_refuses_a_newer_schema_that_is_not_known_to_be_compatible(
    sql_stage: SqlStage, oldest_code: str | None
) -> None:
    await make_newer(sql_stage.database, oldest_code)
    with pytest.raises(SchemaError, match=r"^the database has schema revision 9999, .* up to 0001"):
        await migrate(sql_stage.database)
