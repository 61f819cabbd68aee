"""Handles `deliver` tasks: posts an event to its webhook endpoint, and retries it."""

from __future__ import annotations

import logging

from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.ports import TaskQueue, WebhookSender, WebhookStore
from batchwire_server.core.records import Task
from batchwire_server.core.webhooks import backoff, body_of, headers_of

log = logging.getLogger(__name__)


class Deliverer:
    """The handler of `deliver`."""

    def __init__(self, queue: TaskQueue, store: WebhookStore, sender: WebhookSender) -> None:
        self._queue = queue
        self._store = store
        self._sender = sender

    async def __call__(self, task: Task) -> None:
        """Post the event once. If that fails, retry later, or give up if the deadline is near.

        Raises:
            LeaseLostError: another worker holds the task.
        """
        assert task.delivery
        assert task.tenant
        assert task.deadline
        event, endpoint_id = task.delivery.event, task.delivery.endpoint_id
        endpoint = await self._store.get_webhook_endpoint(task.tenant, endpoint_id)
        if endpoint is None:
            await self._queue.complete(task)
            return
        body = body_of(event)
        try:
            status = await self._sender.post(endpoint.url, headers_of(endpoint, event, body, task.claimed_at), body)
            outcome = f"answered {status}"
        except BatchwireError as error:
            status, outcome = 0, error.message
        if 200 <= status < 300:
            await self._queue.complete(task)
            return
        delay = backoff(task.attempts)
        if task.claimed_at + delay * 1000 < task.deadline:
            log.info("webhook %s to endpoint %s: %s; next try in %.0f s", event.id, endpoint_id, outcome, delay)
            await self._queue.release(task, delay)
        else:
            log.warning("webhook %s to endpoint %s: %s; no time is left, giving up", event.id, endpoint_id, outcome)
            await self._queue.complete(task)
