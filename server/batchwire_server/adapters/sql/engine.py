"""The open database: transactions, its clock, its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

from sqlalchemy import URL, ColumnElement, literal_column, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batchwire_server.adapters.drivers import sql_backend
from batchwire_server.adapters.sql.backend import Backend, Channel
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.ports import ChangeFeed

COMMAND_TIMEOUT_S = 30
"""Without a limit, a statement on a connection that was cut off would wait forever."""


class Database:
    """An open database.

    Args:
        url: an SQLAlchemy URL, such as `sqlite+aiosqlite:///batchwire.db`.
        command_timeout_s: how long PostgreSQL may take for a statement. None means without limit.
    """

    def __init__(self, url: str | URL, command_timeout_s: float | None = COMMAND_TIMEOUT_S) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        self.backend: Backend = sql_backend(self.dialect)(self.url, command_timeout_s)
        self.engine: AsyncEngine = self.backend.create_engine()
        self.place = "/".join(part for part in (self.url.host, self.url.database) if part)
        self.clock: ColumnElement[int] = literal_column(self.backend.clock)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads."""
        with self._reached():
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, quiet: bool = False, work: bool = False) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that writes. It commits if its context ends without an exception.

        Args:
            quiet: do not notify the change feeds. SQLite's are notified all the same.
            work: notify the feeds of `Channel.WORK` as well.
        """
        with self._reached():
            async with self.backend.write_lock, self.engine.connect() as connection:
                await connection.execution_options(batchwire_writes=True)
                async with connection.begin():
                    yield connection
                    if not quiet:
                        await self.backend.notify(connection, work=work)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Raise OutOfReachError for errors whose cause is the database and not the statement."""
        try:
            yield
        except self.backend.errors as error:
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error}") from error
        except OSError as error:  # the connection failed: SQLAlchemy does not wrap these
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error or type(error).__name__}") from error
        except DBAPIError as error:
            if type(error) is not DBAPIError:  # each subclass is about the statement
                raise
            raise OutOfReachError(Component.DATABASE, f"{self.place}: {error}") from error

    @property
    def is_missing(self) -> bool:
        """True if the database is an SQLite file that does not exist yet."""
        return self.backend.is_missing

    @asynccontextmanager
    async def migrate(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction for migrations.

        It excludes those of other processes, and its statements have no time limit.
        """
        if self.backend.migration_lock is None:
            async with self.write() as connection:
                yield connection
            return
        unlimited = Database(self.url, command_timeout_s=None)
        try:
            async with unlimited.write() as connection:
                await connection.execute(self.backend.migration_lock)
                yield connection
        finally:
            await unlimited.close()

    def open_changes(self, channel: Channel = Channel.CHANGES) -> AbstractAsyncContextManager[ChangeFeed]:
        """Run the database's change feed."""
        return self.backend.open_changes(channel)

    async def now(self, connection: AsyncConnection) -> int:
        """Return the database's clock, in milliseconds since the epoch."""
        return int((await connection.execute(select(self.clock))).scalar_one())

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
