"""Webhook endpoints in memory."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.adapters.memory.tables import Memory, Tables, insert, page_after
from batchwire_server.core.ports import Page
from batchwire_server.core.records import WebhookEndpoint


def _owned(tables: Tables, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
    endpoint = tables.endpoints.get(endpoint_id)
    return endpoint if endpoint and endpoint.tenant == tenant else None


class MemoryWebhooks:
    """The WebhookStore in memory."""

    _memory: Memory

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """See WebhookStore."""
        async with self._memory.write() as tables:
            now = self._memory.now()
            stored = replace(endpoint, created_at=now, updated_at=now)
            insert(tables.endpoints, stored.id, stored)
        return stored

    async def get_webhook_endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """See WebhookStore."""
        return _owned(await self._memory.read(), tenant, endpoint_id)

    async def list_webhook_endpoints(self, tenant: str, *, after: str, limit: int) -> Page[WebhookEndpoint] | None:
        """See WebhookStore."""
        endpoints = (await self._memory.read()).endpoints
        shown = [endpoint for endpoint in endpoints.values() if endpoint.tenant == tenant]
        return page_after(shown, endpoints.get(after), tenant, after, limit)

    async def update_webhook_endpoint(
        self, endpoint: WebhookEndpoint, keep_old_secret: float = 0.0
    ) -> WebhookEndpoint | None:
        """See WebhookStore."""
        async with self._memory.write() as tables:
            if _owned(tables, endpoint.tenant, endpoint.id) is None:
                return None
            now = self._memory.now()
            until = now + int(keep_old_secret * 1000) if keep_old_secret else endpoint.old_secret_until
            stored = replace(endpoint, updated_at=now, old_secret_until=until)
            tables.endpoints[stored.id] = stored
        return stored

    async def delete_webhook_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        """See WebhookStore."""
        async with self._memory.write() as tables:
            found = _owned(tables, tenant, endpoint_id)
            if found:
                del tables.endpoints[endpoint_id]
        return found is not None
