"""The adapters behind each port."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from sqlalchemy import event

from tests.ports.stores import Stage
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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh database with the schema, of each kind that the store speaks to."""
    if request.param == "postgresql":
        return new_database(request.getfixturevalue("postgresql_template"), template="template")
    path = tmp_path / "batchwire.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> str:
    """A fresh database of the same kind without the schema."""
    if database_url.startswith("postgresql"):
        return new_database(request.getfixturevalue("postgresql_template"))
    return f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"


@pytest_asyncio.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    """A store over a fresh database."""
    database = Database(database_url)
    if database.dialect == "sqlite":

        @event.listens_for(database.engine.sync_engine, "connect")
        def hurry(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA synchronous=OFF")  # no test pulls the plug

    yield Stage(SqlStore(database), database)
    await database.close()
