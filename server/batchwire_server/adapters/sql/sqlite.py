"""SQLite: one file, one writer at a time, a change counter that is polled."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from batchwire_server.adapters.changes import PolledChanges
from batchwire_server.adapters.sql.backend import Backend, Channel
from batchwire_server.core.ports import ChangeFeed

BUSY_TIMEOUT_S = 30.0
WAL_RETRY_S = 0.01


class SqliteBackend(Backend):
    """SQLite."""

    clock = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

    def __init__(self, url: URL, command_timeout_s: float | None) -> None:
        super().__init__(url, command_timeout_s)
        # SQLite has one writer at a time, and polls while another writes. Within a process, a lock
        # is faster.
        self.write_lock = asyncio.Lock()

    @property
    def is_missing(self) -> bool:
        """True if the file does not exist."""
        return not Path(self.url.database or "").exists()

    def create_engine(self) -> AsyncEngine:
        """Return an engine whose connections begin their transactions explicitly."""
        engine = create_async_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(engine.sync_engine, "connect", _prepare)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine

    async def notify(self, connection: AsyncConnection, *, work: bool) -> None:
        """Do nothing: SQLite counts commits by itself."""

    @asynccontextmanager
    async def open_changes(self, channel: Channel) -> AsyncIterator[ChangeFeed]:
        """Poll the change counter. The channel has no effect."""
        version = SqliteDataVersion(self.url.database or "")
        changes = PolledChanges(version.read)
        try:
            yield changes
        finally:
            await changes.close()
            version.close()


def _prepare(connection: Any, _record: object) -> None:
    """Configure a new connection."""
    connection.isolation_level = None  # sqlite3 must not begin transactions: `_begin` does
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    # FULL: a commit survives a power failure. NORMAL does not guarantee that in WAL mode.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    # A transaction that reads first and then writes may fail as busy without waiting. IMMEDIATE
    # waits.
    writes = connection.get_execution_options().get("batchwire_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(cursor: Any) -> None:
    """Switch the database to write-ahead logging.

    SQLite does not apply its busy timeout when several connections switch a new database at once,
    so this retries for as long.
    """
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(WAL_RETRY_S)
        else:
            return


class SqliteDataVersion:
    """SQLite's change counter: it changes when any other connection, of any process, commits."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def read(self) -> int:
        """Return the counter. This reads shared memory and takes microseconds."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
