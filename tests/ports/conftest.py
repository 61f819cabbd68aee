"""The adapters behind each port."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from batchwire_server.adapters.sql import Database
from batchwire_server.adapters.sql.migrate import migrate

from tests.ports.memory_stage import MemoryStage
from tests.ports.sql_stage import SQL, SqlStage
from tests.ports.stores import Stage
from tests.support.object_store import ObjectStore, running_object_store
from tests.support.postgresql import new_database, run_apart, running_postgresql, sibling


async def _migrated(url: str) -> None:
    database = Database(url)
    await migrate(database)
    await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the schema, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    asyncio.run(_migrated(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """A PostgreSQL whose database `template` has the schema, to be copied; yields the URL of another."""
    with running_postgresql() as url:
        asyncio.run(run_apart(url, "CREATE DATABASE template"))
        asyncio.run(_migrated(sibling(url, "template")))
        yield url


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    """A store that speaks S3."""
    with running_object_store() as store:
        yield store


@pytest.fixture(params=[*SQL, "memory"])
def adapter(request: pytest.FixtureRequest) -> str:
    """Each adapter of the store ports; `over_sql` leaves those that speak SQL."""
    return str(request.param)


@pytest.fixture
def database_url(adapter: str, request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """A fresh database with the schema, of the kind that the adapter speaks to; None for one that speaks to none."""
    if adapter == "memory":
        return None
    if adapter == "postgresql":
        return new_database(request.getfixturevalue("postgresql_template"), template="template")
    path = tmp_path / "batchwire.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def empty_database_url(adapter: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of the same kind without the schema."""
    if adapter == "postgresql":
        return new_database(request.getfixturevalue("postgresql_template"))
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"


@pytest_asyncio.fixture
async def stage(database_url: str | None) -> AsyncIterator[Stage]:
    """A fresh store, of each adapter."""
    if database_url is None:
        yield MemoryStage()
        return
    stage = SqlStage(database_url)
    yield stage
    await stage.database.close()


@pytest.fixture
def sql_stage(stage: Stage) -> SqlStage:
    """The stage of a test that is `over_sql`."""
    assert isinstance(stage, SqlStage)
    return stage
