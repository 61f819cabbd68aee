"""Webhook endpoints: created, changed, tested. The worker delivers events to them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from batchwire_server.core import ids
from batchwire_server.core.errors import (
    missing_parameter,
    unsupported_value,
    webhook_endpoint_not_found,
)
from batchwire_server.core.ports import Page, WebhookSender, WebhookStore
from batchwire_server.core.records import Event, WebhookEndpoint
from batchwire_server.core.webhooks import (
    EVENT_TYPES,
    OLD_SECRET_S,
    body_of,
    check_event_types,
    check_url,
    headers_of,
    secret_of,
)
from batchwire_server.service.checks import PAGE_DEFAULT, PAGE_LIMIT, check_length, check_limit, unknown_after

MAX_NAME = 256
MAX_URL = 2048
KEY_BYTES = 32


def new_secret() -> str:
    """Return a new signing secret."""
    return secret_of(secrets.token_bytes(KEY_BYTES))


class Webhooks:
    """The use cases of webhook endpoints.

    Args:
        store: the endpoints.
        sender: posts test events.
        private: allow http and private addresses.
    """

    def __init__(self, store: WebhookStore, sender: WebhookSender, *, private: bool) -> None:
        self._store = store
        self._sender = sender
        self._private = private

    async def create(self, tenant: str, name: str, url: str, event_types: Sequence[str]) -> WebhookEndpoint:
        """Create an endpoint with a new secret. Raises BatchwireError."""
        for param, value in (("name", name), ("url", url), ("event_types", event_types)):
            if not value:
                raise missing_parameter(param)
        types = self._check(name, url, event_types)
        endpoint = WebhookEndpoint(ids.webhook_endpoint_id(), tenant, name, url, types, new_secret())
        return await self._store.add_webhook_endpoint(endpoint)

    async def get(self, tenant: str, endpoint_id: str) -> WebhookEndpoint:
        """Return an endpoint. Raises BatchwireError if the tenant has no such endpoint."""
        return _found(await self._store.get_webhook_endpoint(tenant, endpoint_id), endpoint_id)

    async def list(self, tenant: str, *, limit: int | None = None, after: str = "") -> Page[WebhookEndpoint]:
        """Return a page of endpoints, newest first. Raises BatchwireError."""
        size = check_limit(limit, PAGE_LIMIT, PAGE_DEFAULT)
        page = await self._store.list_webhook_endpoints(tenant, after=after, limit=size)
        if page is None:
            raise unknown_after(after)
        return page

    async def update(
        self, tenant: str, endpoint_id: str, name: str, url: str, event_types: Sequence[str]
    ) -> WebhookEndpoint:
        """Change the fields whose arguments are not empty. Raises BatchwireError."""
        known = await self.get(tenant, endpoint_id)
        wanted = (name or known.name, url or known.url, event_types or known.event_types)
        changed = replace(known, name=wanted[0], url=wanted[1], event_types=self._check(*wanted))
        return known if changed == known else _found(await self._store.update_webhook_endpoint(changed), endpoint_id)

    async def delete(self, tenant: str, endpoint_id: str) -> None:
        """Delete an endpoint. Raises BatchwireError if the tenant has no such endpoint."""
        if not await self._store.delete_webhook_endpoint(tenant, endpoint_id):
            raise webhook_endpoint_not_found(endpoint_id)

    async def rotate_secret(self, tenant: str, endpoint_id: str, *, keep_old: bool) -> WebhookEndpoint:
        """Replace the secret; the old one signs for another 24 hours if `keep_old`.

        Raises BatchwireError.
        """
        known = await self.get(tenant, endpoint_id)
        old = known.secret if keep_old else None
        changed = replace(known, secret=new_secret(), old_secret=old, old_secret_until=None)
        seconds = OLD_SECRET_S if keep_old else 0
        return _found(await self._store.update_webhook_endpoint(changed, seconds), endpoint_id)

    async def test(self, tenant: str, endpoint_id: str, event_type: str) -> int:
        """Post a sample event once; return the HTTP status of the response.

        Raises BatchwireError.
        """
        endpoint = await self.get(tenant, endpoint_id)
        if event_type not in EVENT_TYPES:
            raise unsupported_value("event_type", event_type, EVENT_TYPES)
        now = int(time.time() * 1000)
        event = Event(ids.event_id(), event_type, now, ids.batch_id())
        body = body_of(event)
        return await self._sender.post(endpoint.url, headers_of(endpoint, event, body, now), body)

    def _check(self, name: str, url: str, event_types: Sequence[str]) -> tuple[str, ...]:
        check_length("name", name, MAX_NAME)
        check_length("url", url, MAX_URL)
        check_url(url, private=self._private)
        return check_event_types(event_types)


def _found(endpoint: WebhookEndpoint | None, endpoint_id: str) -> WebhookEndpoint:
    if endpoint is None:
        raise webhook_endpoint_not_found(endpoint_id)
    return endpoint
