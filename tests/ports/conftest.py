"""The adapters behind each port."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from sqlalchemy import event

from tests.ports.stores import Stage


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


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh database with the schema, of each kind that the store speaks to."""
    assert request.param == "sqlite"
    path = tmp_path / "batchwire.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite+aiosqlite:///{path}"


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
