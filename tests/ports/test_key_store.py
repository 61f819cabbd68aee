"""Behaviour of every KeyStore."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.core import ids
from batchwire_server.core.records import ApiKey

from tests.ports.stores import StoreHarness


def a_key(tenant: str = "acme") -> ApiKey:
    """Return a key with a new id."""
    return ApiKey(ids.key_id(), tenant, "ü", "bw_…abcd")


async def test_a_key_is_found_by_its_digest_alone(harness: StoreHarness) -> None:
    stored = await harness.store.add_key(a_key(), "d1")
    await harness.store.add_key(a_key("other"), "d2")
    assert stored.created_at > 0
    assert await harness.store.tenant_of_key("d1") == "acme"
    assert await harness.store.tenant_of_key("d2") == "other"
    assert await harness.store.tenant_of_key("d3") is None
    assert await harness.store.tenant_of_key(stored.id) is None


async def test_a_revoked_key_has_no_tenant_and_is_revoked_once(harness: StoreHarness) -> None:
    revoked, kept = await harness.store.add_key(a_key(), "d1"), await harness.store.add_key(a_key(), "d2")
    await harness.freeze_clock()
    await harness.advance(60)
    assert await harness.store.revoke_key(revoked.id)
    assert not await harness.store.revoke_key(revoked.id)
    assert not await harness.store.revoke_key("key_x")
    assert await harness.store.tenant_of_key("d1") is None
    assert await harness.store.tenant_of_key("d2") == "acme"
    found = {key.id: key for key in await harness.store.list_keys()}
    revoked_at = found[revoked.id].revoked_at
    assert revoked_at is not None
    assert revoked_at >= revoked.created_at + 60_000
    assert found == {revoked.id: replace(revoked, revoked_at=revoked_at), kept.id: kept}


async def test_keys_are_listed_oldest_first(harness: StoreHarness) -> None:
    made = []
    for number in range(3):
        made.append(await harness.store.add_key(a_key(), f"d{number}"))
        await harness.advance(1)
    assert await harness.store.list_keys() == made


async def test_has_keys_stays_true_after_all_keys_are_revoked(harness: StoreHarness) -> None:
    assert not await harness.store.has_keys()
    key = await harness.store.add_key(a_key(), "d1")
    await harness.store.revoke_key(key.id)
    assert await harness.store.has_keys()
