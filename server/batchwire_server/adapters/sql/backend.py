"""What SQLite and PostgreSQL do differently: the interface, one implementation per database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, nullcontext
from enum import StrEnum

from sqlalchemy import URL, Executable
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batchwire_server.core.ports import ChangeFeed


class Channel(StrEnum):
    """Which commits a change feed reports. SQLite cannot tell them apart and reports all."""

    CHANGES = "batchwire_changes"
    """Every commit, except those whose transaction was quiet."""

    WORK = "batchwire_work"
    """Commits after which more tasks may be claimable. Most commits only record results, and need
    not wake the workers."""


class Backend(ABC):
    """A kind of database.

    Args:
        url: of the database.
        command_timeout_s: time limit of a statement; None means no limit. SQLite ignores it.
    """

    clock: str
    """SQL expression of the time in milliseconds since the epoch."""

    errors: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeoutError)
    """Exceptions for which the database, not the statement, is the cause."""

    migration_lock: Executable | None = None
    """Statement that excludes other migrations. None: any write transaction does."""

    def __init__(self, url: URL, command_timeout_s: float | None) -> None:
        self.url = url
        self.command_timeout_s = command_timeout_s
        self.write_lock: AbstractAsyncContextManager[None] = nullcontext()
        """Held by each write transaction of this process."""

    @property
    def is_missing(self) -> bool:
        """True if the database is a file that does not exist. Connecting would create it."""
        return False

    @abstractmethod
    def create_engine(self) -> AsyncEngine:
        """Return a new engine."""

    @abstractmethod
    async def notify(self, connection: AsyncConnection, *, work: bool) -> None:
        """Notify the change feeds when the current transaction commits, if it has changed anything.

        With `work`, notifies the feeds of `Channel.WORK` as well.
        """

    @abstractmethod
    def open_changes(self, channel: Channel) -> AbstractAsyncContextManager[ChangeFeed]:
        """Run a change feed."""
