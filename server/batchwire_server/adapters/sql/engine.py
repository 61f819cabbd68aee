"""What differs between databases, and nothing else: how to open one, its clock, its transactions, its word of change."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ColumnElement, event, literal_column, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component

_CLOCKS = {
    "sqlite": "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
}

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 30
"""A connection that was cut off says nothing more; without an end to waiting, whoever waits on it would wait for ever."""

IDLE_TIMEOUT_MS = 10_000
"""A process that stands still within a transaction holds locks that others wait for; PostgreSQL then ends its transaction."""

CHANGES = "batchwire_changes"
"""The channel that tells of each commit that others may wait for."""

WORK = "batchwire_work"
"""The channel that tells of those commits alone after which there may be more to claim: many workers wait for it, and most commits are results."""

# Only a transaction that has changed something has an id.
_CHANGED = "WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
_TELL = text(f"SELECT pg_notify('{CHANGES}', '') {_CHANGED}")
_TELL_WORK = text(f"SELECT pg_notify('{CHANGES}', ''), pg_notify('{WORK}', '') {_CHANGED}")
_LOCK_MIGRATIONS = text("SELECT pg_advisory_xact_lock(7311964)")  # a number that only migrations use


class Database:
    """An open database.

    Args:
        url: an SQLAlchemy URL, such as `sqlite+aiosqlite:///batchwire.db`.
        command_timeout_s: how long PostgreSQL may take for a statement. None means without limit.
    """

    def __init__(self, url: str | URL, command_timeout_s: float | None = COMMAND_TIMEOUT_S) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        self.engine: AsyncEngine = (
            _sqlite_engine(self.url) if self.dialect == "sqlite" else _postgresql_engine(self.url, command_timeout_s)
        )
        # SQLite has one writer at a time, and who finds it busy sleeps; within a process, waiting in line is faster.
        self._writing: AbstractAsyncContextManager[None] = asyncio.Lock() if self.dialect == "sqlite" else nullcontext()
        self.place = "/".join(part for part in (self.url.host, self.url.database) if part)
        self._faults = _faults_of(self.dialect)
        self.clock: ColumnElement[int] = literal_column(_CLOCKS[self.dialect])

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction that only reads."""
        with self._reached():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, quiet: bool = False, work: bool = False) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction that writes and commits when its context ends well.

        Args:
            quiet: nobody who waits for a change needs to be told. SQLite tells all the same.
            work: those who wait for work need to be told too.
        """
        with self._reached():
            async with self._writing, self.engine.connect() as connection:
                await connection.execution_options(batchwire_writes=True)
                async with connection.begin():
                    yield connection
                    if self.dialect == "postgresql" and not quiet:
                        await connection.execute(_TELL_WORK if work else _TELL)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raises OutOfReachError for what speaks of the database and not of the statement."""
        try:
            yield
        except self._faults as error:
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error}") from error
        except OSError as error:  # no connection came about; SQLAlchemy lets that through as it is
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error or type(error).__name__}") from error
        except DBAPIError as error:
            if type(error) is not DBAPIError:  # a subclass speaks of the statement
                raise
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error}") from error

    @property
    def is_missing(self) -> bool:
        """True if the database is an SQLite file that does not exist. Opening it would create it."""
        return self.dialect == "sqlite" and not Path(self.url.database or "").exists()

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction that excludes other migrations and has no limit on a statement's time."""
        if self.dialect == "sqlite":  # has one write transaction at a time
            async with self.write() as connection:
                yield connection
            return
        unlimited = Database(self.url, command_timeout_s=None)
        try:
            async with unlimited.write() as connection:
                await connection.execute(_LOCK_MIGRATIONS)
                yield connection
        finally:
            await unlimited.close()

    async def now(self, connection: AsyncConnection) -> int:
        """Returns the database's clock, in milliseconds since the epoch."""
        return int((await connection.execute(select(self.clock))).scalar_one())

    async def close(self) -> None:
        """Closes all connections."""
        await self.engine.dispose()


def _faults_of(dialect: str) -> tuple[type[Exception], ...]:
    """Returns what is raised when the database, and not a statement, is at fault."""
    faults: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
    if dialect == "sqlite":
        return faults
    import asyncpg  # noqa: PLC0415 - 13 MB that SQLite does not need

    return (*faults, asyncpg.PostgresError, asyncpg.InterfaceError)


def _sqlite_engine(url: URL) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says, not where sqlite3 guesses
        cursor = connection.cursor()
        # FULL: a commit survives a power cut, which NORMAL does not promise in WAL mode.
        _switch_to_wal(cursor)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        # A reader that turns writer may fail as busy at once; one that begins as a writer waits its turn.
        writes = connection.get_execution_options().get("batchwire_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


async def listen(
    url: URL, channel: str, changed: Callable[[], None], broken: Callable[[], None]
) -> Callable[[], Awaitable[None]]:
    """Opens a connection to PostgreSQL that calls `changed` with each commit that a channel tells of, and `broken` when it has ended; returns what closes it."""
    import asyncpg  # noqa: PLC0415 - 13 MB that SQLite does not need

    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(plain, timeout=CONNECT_TIMEOUT_S)
    connection.add_termination_listener(lambda _connection: broken())
    await connection.add_listener(channel, lambda *_notice: changed())
    return connection.close


def _postgresql_engine(url: URL, command_timeout_s: float | None) -> AsyncEngine:
    settings = {
        "application_name": "batchwire",
        "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
    }
    arguments = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": command_timeout_s, "server_settings": settings}
    return create_async_engine(url, pool_pre_ping=True, connect_args=arguments)


def _switch_to_wal(cursor: Any) -> None:
    """Has a database keep a log of writes. When others just do the same to a new one, SQLite says so at once, without the wait that it grants elsewhere."""
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


class SqliteDataVersion:
    """SQLite's own change counter: it moves whenever any other connection, of any process, has committed."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def read(self) -> int:
        """Returns the counter: a look into shared memory, some microseconds."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
