"""PostgreSQL: many writers, time limits of statements, change notifications by NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from batchwire_server.adapters.changes import NotifiedChanges
from batchwire_server.adapters.sql.backend import Backend, Channel
from batchwire_server.core.ports import ChangeFeed

CONNECT_TIMEOUT_S = 10

IDLE_TIMEOUT_MS = 10_000
"""PostgreSQL ends a transaction that is idle for this long: a process that hangs within one holds
locks that others wait for."""

# Only a transaction that has changed something has an id.
_CHANGED = "WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
_NOTIFY = text(f"SELECT pg_notify('{Channel.CHANGES}', '') {_CHANGED}")
_NOTIFY_WORK = text(f"SELECT pg_notify('{Channel.CHANGES}', ''), pg_notify('{Channel.WORK}', '') {_CHANGED}")


class PostgresqlBackend(Backend):
    """PostgreSQL, through asyncpg."""

    clock = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    errors = (*Backend.errors, asyncpg.PostgresError, asyncpg.InterfaceError)
    migration_lock = text("SELECT pg_advisory_xact_lock(7311964)")  # a number that nothing else locks

    def create_engine(self) -> AsyncEngine:
        """Return an engine that checks each pooled connection before its use."""
        settings = {
            "application_name": "batchwire",
            "idle_in_transaction_session_timeout": str(IDLE_TIMEOUT_MS),
        }
        arguments = {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": self.command_timeout_s,
            "server_settings": settings,
        }
        return create_async_engine(self.url, pool_pre_ping=True, connect_args=arguments)

    async def notify(self, connection: AsyncConnection, *, work: bool) -> None:
        """Send NOTIFY with the commit."""
        await connection.execute(_NOTIFY_WORK if work else _NOTIFY)

    @asynccontextmanager
    async def open_changes(self, channel: Channel) -> AsyncIterator[ChangeFeed]:
        """Listen to a channel on a connection of its own."""

        async def listen(changed: Callable[[], None], broken: Callable[[], None]) -> Callable[[], Awaitable[None]]:
            plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(plain, timeout=CONNECT_TIMEOUT_S)
            connection.add_termination_listener(lambda _connection: broken())
            await connection.add_listener(channel, lambda *_notice: changed())
            return connection.close

        changes = NotifiedChanges(listen)
        listening = asyncio.create_task(changes.run())
        try:
            yield changes
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
