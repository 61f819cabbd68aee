"""Delivering: an event is posted until its endpoint accepts it or the deadline is near."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from batchwire_server.core import ids
from batchwire_server.core.errors import BatchwireError, invalid_value
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import TaskKind, WebhookEndpoint
from batchwire_server.core.webhooks import FIRST_DELAY_S, LIFETIME_S, body_of
from batchwire_server.worker.handlers.deliver import Deliverer

from tests.ports.stores import TTL
from tests.unit.worker.environment import Environment

URL = "https://example.com/hook"


class ScriptedSender:
    """A sender whose receiver answers with one status, or not at all."""

    def __init__(self, answer: int | BatchwireError) -> None:
        self.answer = answer
        self.posted: list[tuple[str, bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Record a delivery."""
        assert headers
        self.posted.append((url, body))
        if isinstance(self.answer, BatchwireError):
            raise self.answer
        return self.answer


async def failed_batch(env: Environment) -> WebhookEndpoint:
    """Return the endpoint of a batch that has just failed."""
    endpoint = WebhookEndpoint(ids.webhook_endpoint_id(), "acme", "mine", URL, ("batch.failed",), "whsec_a")
    await env.store.add_webhook_endpoint(endpoint)
    await env.harness.batch_in(BatchStatus.FAILED)
    return endpoint


async def deliver(env: Environment, sender: ScriptedSender) -> None:
    """Claim the delivery, and handle it."""
    await Deliverer(env.store, env.store, sender)(await env.harness.claim_one(TaskKind.DELIVER))


async def claimable(env: Environment) -> bool:
    """Whether a delivery is due. Releases it at once if so."""
    tasks = await env.store.claim(ClaimRequest("w2", [TaskKind.DELIVER], ttl_s=TTL))
    for task in tasks:
        await env.store.release(task)
    return bool(tasks)


@pytest.mark.parametrize("status", [200, 204])
async def test_a_delivery_is_completed_once_its_endpoint_accepts_it(env: Environment, status: int) -> None:
    await failed_batch(env)
    sender = ScriptedSender(status)
    await deliver(env, sender)
    ((url, body),) = sender.posted
    assert (url, b'"batch.failed"' in body) == (URL, True)
    await env.harness.advance(LIFETIME_S)
    assert not await claimable(env)


@pytest.mark.parametrize("answer", [500, 302, invalid_value("url", "no answer")])
async def test_a_failed_delivery_is_retried_after_a_delay_with_the_same_body(
    env: Environment, answer: int | BatchwireError
) -> None:
    await failed_batch(env)
    sender = ScriptedSender(answer)
    await deliver(env, sender)
    assert not await claimable(env)
    await env.harness.advance(FIRST_DELAY_S + 1)
    task = await env.harness.claim_one(TaskKind.DELIVER)
    await Deliverer(env.store, env.store, sender)(task)
    assert task.delivery
    assert [body for _, body in sender.posted] == [body_of(task.delivery.event)] * 2


async def test_a_delivery_whose_deadline_is_near_is_given_up(env: Environment) -> None:
    await failed_batch(env)
    await env.harness.advance(LIFETIME_S - 1)
    await deliver(env, ScriptedSender(500))
    await env.harness.advance(LIFETIME_S)
    assert not await claimable(env)


async def test_a_delivery_to_a_deleted_endpoint_is_dropped(env: Environment) -> None:
    endpoint = await failed_batch(env)
    task = await env.harness.claim_one(TaskKind.DELIVER)
    await env.store.delete_webhook_endpoint("acme", endpoint.id)
    sender = ScriptedSender(200)
    await Deliverer(env.store, env.store, sender)(task)
    assert sender.posted == []
    assert not await claimable(env)
