"""Fixtures: each adapter of the stores."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import migrate

from tests.ports.memory_harness import MemoryHarness
from tests.ports.sql_harness import SQL, SqlHarness
from tests.ports.stores import StoreHarness
from tests.support.object_store import ObjectStore, running_object_store
from tests.support.postgresql import new_database, run_apart, running_postgresql, sibling


async def _migrated(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite database with the schema, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(_migrated(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server whose database `template` has the schema."""
    with running_postgresql() as url:
        asyncio.run(run_apart(url, "CREATE DATABASE template"))
        asyncio.run(_migrated(sibling(url, "template")))
        yield url


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """Yield an S3 server."""
    with running_object_store() as store:
        yield store


@pytest.fixture(params=[*SQL, "memory"])
def adapter(request: pytest.FixtureRequest) -> str:
    """Return the name of each adapter of the store ports. `over_sql` selects the databases."""
    return str(request.param)


@pytest.fixture
def database_url(adapter: str, request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Return the URL of a new database with the schema, or None if the adapter has no database."""
    if adapter == "memory":
        return None
    if adapter == "postgresql":
        return new_database(request.getfixturevalue("postgresql_template"), template="template")
    path = tmp_path / "batchwire.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def empty_database_url(adapter: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a new, empty database."""
    if adapter == "postgresql":
        return new_database(request.getfixturevalue("postgresql_template"))
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"


@pytest_asyncio.fixture
async def empty_databases(empty_database_url: str) -> AsyncIterator[list[Database]]:
    """Yield a new, empty database four times, as four processes open it."""
    databases = [Database(empty_database_url) for _ in range(4)]
    yield databases
    for database in databases:
        await database.close()


@pytest.fixture
def empty_database(empty_databases: list[Database]) -> Database:
    """Return a new, empty database."""
    return empty_databases[0]


@pytest_asyncio.fixture
async def harness(database_url: str | None) -> AsyncIterator[StoreHarness]:
    """Yield the harness of a new store, for each adapter."""
    if database_url is None:
        yield MemoryHarness()
        return
    harness = SqlHarness(database_url)
    yield harness
    await harness.database.close()


@pytest.fixture
def sql_harness(harness: StoreHarness) -> SqlHarness:
    """Return the harness of a test that is `over_sql`."""
    assert isinstance(harness, SqlHarness)
    return harness
