"""WebhookService of the protocol, over the use cases of `service/webhooks.py`."""

from __future__ import annotations

from batchwire import v1

from batchwire_server.api.auth import Context, tenant_of
from batchwire_server.api.convert import endpoint_message, endpoint_with_secret, page_fields, page_limit
from batchwire_server.core.webhooks import EVENT_TYPES
from batchwire_server.service.webhooks import Webhooks


class WebhookServicer(v1.WebhookServiceServicer):
    """The RPCs of WebhookService."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhookEndpoint(
        self, request: v1.CreateWebhookEndpointRequest, context: Context
    ) -> v1.WebhookEndpointWithSecret:
        """See WebhookService."""
        created = await self._webhooks.create(tenant_of(context), request.name, request.url, request.event_types)
        return endpoint_with_secret(created)

    async def GetWebhookEndpoint(self, request: v1.GetWebhookEndpointRequest, context: Context) -> v1.WebhookEndpoint:
        """See WebhookService."""
        return endpoint_message(await self._webhooks.get(tenant_of(context), request.webhook_endpoint_id))

    async def ListWebhookEndpoints(
        self, request: v1.ListWebhookEndpointsRequest, context: Context
    ) -> v1.ListWebhookEndpointsResponse:
        """See WebhookService."""
        page = await self._webhooks.list(tenant_of(context), limit=page_limit(request), after=request.after)
        endpoints = [endpoint_message(endpoint) for endpoint in page.items]
        return v1.ListWebhookEndpointsResponse(**page_fields(endpoints, has_more=page.has_more))

    async def UpdateWebhookEndpoint(
        self, request: v1.UpdateWebhookEndpointRequest, context: Context
    ) -> v1.WebhookEndpoint:
        """See WebhookService."""
        changed = await self._webhooks.update(
            tenant_of(context), request.webhook_endpoint_id, request.name, request.url, request.event_types
        )
        return endpoint_message(changed)

    async def DeleteWebhookEndpoint(
        self, request: v1.DeleteWebhookEndpointRequest, context: Context
    ) -> v1.DeleteWebhookEndpointResponse:
        """See WebhookService."""
        await self._webhooks.delete(tenant_of(context), request.webhook_endpoint_id)
        return v1.DeleteWebhookEndpointResponse(id=request.webhook_endpoint_id, deleted=True)

    async def RotateWebhookSecret(
        self, request: v1.RotateWebhookSecretRequest, context: Context
    ) -> v1.WebhookEndpointWithSecret:
        """See WebhookService."""
        changed = await self._webhooks.rotate_secret(
            tenant_of(context), request.webhook_endpoint_id, keep_old=request.keep_old_secret_active_for_24_hours
        )
        return endpoint_with_secret(changed)

    async def TestWebhookEndpoint(
        self, request: v1.TestWebhookEndpointRequest, context: Context
    ) -> v1.TestWebhookEndpointResponse:
        """See WebhookService."""
        endpoint_id, event_type = request.webhook_endpoint_id, request.event_type
        status = await self._webhooks.test(tenant_of(context), endpoint_id, event_type)
        return v1.TestWebhookEndpointResponse(
            webhook_endpoint_id=endpoint_id, event_type=event_type, status_code=status, success=True
        )

    async def ListWebhookEventTypes(
        self, request: v1.ListWebhookEventTypesRequest, context: Context
    ) -> v1.ListWebhookEventTypesResponse:
        """See WebhookService."""
        return v1.ListWebhookEventTypesResponse(data=EVENT_TYPES)
