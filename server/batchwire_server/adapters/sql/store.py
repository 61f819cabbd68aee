"""The SQL store: one object implements all store ports, each in a file of its own."""

from __future__ import annotations

from batchwire_server.adapters.sql.batches import SqlBatches
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import SqlFiles
from batchwire_server.adapters.sql.garbage import SqlGarbage
from batchwire_server.adapters.sql.keys import SqlKeys
from batchwire_server.adapters.sql.leasing import SqlLeasing
from batchwire_server.adapters.sql.reading import SqlReading
from batchwire_server.adapters.sql.reporting import SqlReporting
from batchwire_server.adapters.sql.webhooks import SqlWebhooks


class SqlStore(SqlFiles, SqlBatches, SqlLeasing, SqlReporting, SqlReading, SqlGarbage, SqlKeys, SqlWebhooks):
    """FileStore, BatchStore, TaskQueue, GarbageStore, KeyStore and WebhookStore in SQL."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def reach(self) -> None:
        """Raise OutOfReachError if nothing can be written now."""
        # In a write transaction: an SQLite database may be readable while it cannot be written.
        async with self._db.write(quiet=True) as connection:
            await self._db.now(connection)
