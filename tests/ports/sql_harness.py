"""The harness of the SQL store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.rows import segment_record
from batchwire_server.adapters.sql.tables import BATCH, FILE, SEGMENT, TASK
from batchwire_server.core.ports import ChangeFeed
from batchwire_server.core.records import Batch, Segment, Task
from sqlalchemy import event, literal_column, select, update

from tests.ports.stores import FROZEN_AT_MS, TTL, StoreHarness

LISTEN_TIMEOUT_S = 20.0
SQL = ["sqlite", "postgresql"]
over_sql = pytest.mark.parametrize("adapter", SQL, indirect=True)
"""Runs a test over the SQL databases alone: it needs SQL, or several processes."""


class SqlHarness(StoreHarness):
    """A store over a database, whose clock is a SQL expression that the harness replaces."""

    store: SqlStore

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = Database(url)
        self.store = SqlStore(self.database)
        self._clock = str(self.database.clock)
        self._ahead = 0
        if self.database.dialect == "sqlite":

            @event.listens_for(self.database.engine.sync_engine, "connect")
            def hurry(connection: Any, _record: object) -> None:
                connection.execute("PRAGMA synchronous=OFF")  # no test cuts the power

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[ChangeFeed]:
        async with self.database.open_changes() as feed:
            if self.database.dialect == "postgresql":  # it counts a change once it listens
                await feed.wait(1, LISTEN_TIMEOUT_S)
            yield feed

    async def advance(self, seconds: float) -> None:
        self._ahead += int(seconds * 1000)
        self._set_clock()

    async def freeze_clock(self) -> None:
        self._clock, self._ahead = f"CAST({FROZEN_AT_MS} AS BIGINT)", 0
        self._set_clock()

    def _set_clock(self) -> None:
        self.database.clock = literal_column(f"({self._clock} + {self._ahead})")

    async def expire_lease(self, task: Task) -> None:
        earlier = update(TASK).where(TASK.c.id == task.id).values(lease_until=TASK.c.lease_until - int(TTL * 100_000))
        async with self.database.write() as connection:
            await connection.execute(earlier)

    async def all_tasks(self) -> list[dict[str, Any]]:
        return await self._rows(TASK)

    async def all_segments(self) -> list[Segment]:
        async with self.database.read() as connection:
            return [segment_record(row) for row in await connection.execute(select(SEGMENT))]

    async def stored_files(self) -> list[Any]:
        return await self._rows(FILE)

    async def stored_batch(self, batch: Batch) -> Any:
        return [row for row in await self._rows(BATCH) if row["id"] == batch.id]

    async def _rows(self, table: Any) -> list[dict[str, Any]]:
        async with self.database.read() as connection:
            return [dict(row) for row in (await connection.execute(select(table))).mappings()]
