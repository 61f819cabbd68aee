"""Webhook endpoints in SQL, and the deliveries of a batch's end."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import page_after
from batchwire_server.adapters.sql.rows import endpoint_record
from batchwire_server.adapters.sql.tables import WEBHOOK_ENDPOINT
from batchwire_server.core.ports import Page
from batchwire_server.core.records import Batch, Delivery, WebhookEndpoint
from batchwire_server.core.webhooks import deliveries


async def deliveries_of(connection: AsyncConnection, batch: Batch, now: int) -> list[Delivery]:
    """Return the deliveries of the event that a batch has reached its current status."""
    query = select(WEBHOOK_ENDPOINT.c.id, WEBHOOK_ENDPOINT.c.event_types)
    rows = await connection.execute(query.where(WEBHOOK_ENDPOINT.c.tenant == batch.tenant))
    return deliveries(batch, now, ((row.id, row.event_types) for row in rows))


class SqlWebhooks:
    """The WebhookStore in SQL."""

    _db: Database

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """See WebhookStore."""
        async with self._db.write() as connection:
            now = await self._db.now(connection)
            stored = replace(endpoint, created_at=now, updated_at=now)
            await connection.execute(insert(WEBHOOK_ENDPOINT).values(asdict(stored)))
        return stored

    async def get_webhook_endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """See WebhookStore."""
        table = WEBHOOK_ENDPOINT.c
        async with self._db.read() as connection:
            query = select(WEBHOOK_ENDPOINT).where(table.tenant == tenant, table.id == endpoint_id)
            row = (await connection.execute(query)).first()
        return endpoint_record(row) if row else None

    async def list_webhook_endpoints(self, tenant: str, *, after: str, limit: int) -> Page[WebhookEndpoint] | None:
        """See WebhookStore."""
        query = select(WEBHOOK_ENDPOINT).where(WEBHOOK_ENDPOINT.c.tenant == tenant)
        async with self._db.read() as connection:
            page = await page_after(connection, WEBHOOK_ENDPOINT, query, tenant, after, limit, oldest_first=False)
        return page and Page([endpoint_record(row) for row in page[0]], page[1])

    async def update_webhook_endpoint(
        self, endpoint: WebhookEndpoint, keep_old_secret: float = 0.0
    ) -> WebhookEndpoint | None:
        """See WebhookStore."""
        table = WEBHOOK_ENDPOINT.c
        async with self._db.write() as connection:
            now = await self._db.now(connection)
            until = now + int(keep_old_secret * 1000) if keep_old_secret else endpoint.old_secret_until
            stored = replace(endpoint, updated_at=now, old_secret_until=until)
            statement = update(WEBHOOK_ENDPOINT).where(table.tenant == endpoint.tenant, table.id == endpoint.id)
            changed = (await connection.execute(statement.values(asdict(stored)))).rowcount
        return stored if changed else None

    async def delete_webhook_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        """See WebhookStore."""
        table = WEBHOOK_ENDPOINT.c
        statement = delete(WEBHOOK_ENDPOINT).where(table.tenant == tenant, table.id == endpoint_id)
        async with self._db.write() as connection:
            return (await connection.execute(statement)).rowcount > 0
