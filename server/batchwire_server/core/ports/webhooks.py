"""Webhook endpoints, and the sender of webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from batchwire_server.core.ports.page import Page
from batchwire_server.core.records import WebhookEndpoint


class WebhookStore(Protocol):
    """Webhook endpoints. The transaction that ends a batch queues its deliveries."""

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Store an endpoint; return it with its times."""

    async def get_webhook_endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """Return a tenant's endpoint, or None."""

    async def list_webhook_endpoints(self, tenant: str, *, after: str, limit: int) -> Page[WebhookEndpoint] | None:
        """Return a page of a tenant's endpoints, newest first.

        Returns None if `after` is not the id of one of them.
        """

    async def update_webhook_endpoint(
        self, endpoint: WebhookEndpoint, keep_old_secret: float = 0.0
    ) -> WebhookEndpoint | None:
        """Store the changed fields of an endpoint. Return None if it no longer exists.

        A replaced secret keeps signing for `keep_old_secret` seconds.
        """

    async def delete_webhook_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        """Delete an endpoint; return whether it existed."""


class WebhookSender(Protocol):
    """Sends webhooks."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Post once and return the response's status. Raises BatchwireError if there is none."""
