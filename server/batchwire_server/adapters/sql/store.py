"""The SQL store: one object behind the store ports, each part in a file of its own."""

from __future__ import annotations

from batchwire_server.adapters.sql.batches import SqlBatches
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import SqlFiles
from batchwire_server.adapters.sql.garbage import SqlGarbage
from batchwire_server.adapters.sql.keys import SqlKeys
from batchwire_server.adapters.sql.outcomes import SqlOutcomes
from batchwire_server.adapters.sql.tasks import SqlTasks
from batchwire_server.adapters.sql.webhooks import SqlWebhooks


class SqlStore(SqlFiles, SqlBatches, SqlTasks, SqlOutcomes, SqlGarbage, SqlKeys, SqlWebhooks):
    """FileStore, BatchStore, TaskQueue, GarbageStore, KeyStore and WebhookStore over one database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def reach(self) -> None:
        """Raise OutOfReachError if nothing can be written now."""
        # Within a transaction that writes: SQLite can be read while nobody can write.
        async with self._db.write(quiet=True) as connection:
            await self._db.now(connection)
