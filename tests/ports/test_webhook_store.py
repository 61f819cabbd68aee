"""Behaviour of every WebhookStore, and the deliveries that the end of a batch queues."""

from __future__ import annotations

from dataclasses import replace

import pytest
from batchwire_server.core import ids
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.ports import ClaimRequest
from batchwire_server.core.records import InputError, Task, TaskKind, WebhookEndpoint

from tests.ports.stores import TTL, StoreHarness, a_batch

ALL = tuple(f"batch.{status}" for status in TERMINAL)


def an_endpoint(tenant: str = "acme", types: tuple[str, ...] = ALL) -> WebhookEndpoint:
    """Return an endpoint with a new id."""
    return WebhookEndpoint(ids.webhook_endpoint_id(), tenant, "mine", "https://example.com/", types, "whsec_a")


async def deliveries(harness: StoreHarness) -> list[Task]:
    """Claim all deliveries."""
    return await harness.store.claim(ClaimRequest("w1", [TaskKind.DELIVER], ttl_s=TTL, limit=99))


async def test_a_stored_endpoint_is_visible_to_its_tenant_alone(harness: StoreHarness) -> None:
    made = await harness.store.add_webhook_endpoint(an_endpoint())
    assert made.created_at == made.updated_at > 0
    assert await harness.store.get_webhook_endpoint("acme", made.id) == made
    assert await harness.store.get_webhook_endpoint("other", made.id) is None
    assert await harness.store.update_webhook_endpoint(replace(made, tenant="other", name="x")) is None
    assert not await harness.store.delete_webhook_endpoint("other", made.id)
    assert await harness.store.delete_webhook_endpoint("acme", made.id)
    assert await harness.store.get_webhook_endpoint("acme", made.id) is None


async def test_endpoints_are_listed_newest_first(harness: StoreHarness) -> None:
    made = [(await harness.store.add_webhook_endpoint(an_endpoint())).id for _ in range(3)]
    await harness.store.add_webhook_endpoint(an_endpoint("other"))
    page = await harness.store.list_webhook_endpoints("acme", after="", limit=2)
    assert page
    assert page.has_more
    rest = await harness.store.list_webhook_endpoints("acme", after=page.items[-1].id, limit=2)
    assert rest
    assert sorted(each.id for each in (*page.items, *rest.items)) == sorted(made)
    assert await harness.store.list_webhook_endpoints("acme", after="whe_none", limit=2) is None


async def test_an_update_is_stored_and_keeps_the_old_secret_for_a_while(harness: StoreHarness) -> None:
    made = await harness.store.add_webhook_endpoint(an_endpoint())
    changed = await harness.store.update_webhook_endpoint(replace(made, secret="whsec_b", old_secret="whsec_a"), 10)
    assert changed
    assert changed.old_secret_until
    assert changed.old_secret_until - changed.updated_at == 10_000
    assert await harness.store.get_webhook_endpoint("acme", made.id) == changed
    await harness.advance(5)
    renamed = await harness.store.update_webhook_endpoint(replace(changed, name="another"))
    assert renamed
    assert renamed.old_secret_until == changed.old_secret_until
    assert renamed.updated_at > changed.updated_at


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_each_terminal_status_queues_a_delivery(harness: StoreHarness, status: BatchStatus) -> None:
    wanted = await harness.store.add_webhook_endpoint(an_endpoint(types=(f"batch.{status}",)))
    await harness.store.add_webhook_endpoint(
        an_endpoint(types=tuple(type_ for type_ in ALL if type_ != f"batch.{status}"))
    )
    await harness.store.add_webhook_endpoint(an_endpoint("other"))
    batch, _ = await harness.batch_in(status)
    (task,) = await deliveries(harness)
    assert task.delivery
    assert task.deadline
    event = task.delivery.event
    assert (task.tenant, task.batch_id, task.delivery.endpoint_id) == ("acme", None, wanted.id)
    assert (event.type, event.batch_id) == (f"batch.{status}", batch.id)
    assert task.deadline - event.created_at == 72 * 3600 * 1000
    assert await harness.tasks(batch) == []


async def test_two_endpoints_get_the_same_event(harness: StoreHarness) -> None:
    for _ in range(2):
        await harness.store.add_webhook_endpoint(an_endpoint())
    await harness.batch_in(BatchStatus.FAILED)
    first, second = await deliveries(harness)
    assert first.delivery
    assert second.delivery
    assert first.delivery.event == second.delivery.event


async def test_a_batch_that_has_not_ended_queues_no_delivery(harness: StoreHarness) -> None:
    await harness.store.add_webhook_endpoint(an_endpoint())
    batch = await harness.start_batch()
    assert await deliveries(harness) == []
    await harness.store.cancel_batch("acme", batch.id)
    assert await deliveries(harness) == []


async def test_a_completed_delivery_is_deleted(harness: StoreHarness) -> None:
    await harness.store.add_webhook_endpoint(an_endpoint())
    added = await harness.store.add_batch(a_batch())
    await harness.store.reject(await harness.claim_one(TaskKind.VALIDATE), [InputError("c", "m")])
    (task,) = await deliveries(harness)
    await harness.store.release(task)
    (again,) = await deliveries(harness)
    assert again.delivery == task.delivery
    await harness.store.complete(again)
    assert await deliveries(harness) == []
    assert await harness.tasks(added) == []
