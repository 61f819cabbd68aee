"""What every KeyStore does."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.core import ids
from batchwire_server.core.records import ApiKey

from tests.ports.stores import Stage


def a_key(tenant: str = "acme") -> ApiKey:
    """Returns a key that nobody else has."""
    return ApiKey(ids.key_id(), tenant, "ü", "bw_…abcd")


async def test_a_key_acts_for_its_tenant_and_is_known_by_its_digest_alone(stage: Stage) -> None:
    stored = await stage.store.add_key(a_key(), "d1")
    await stage.store.add_key(a_key("other"), "d2")
    assert stored.created_at > 0
    assert await stage.store.tenant_of_key("d1") == "acme"
    assert await stage.store.tenant_of_key("d2") == "other"
    assert await stage.store.tenant_of_key("d3") is None
    assert await stage.store.tenant_of_key(stored.id) is None


async def test_a_revoked_key_acts_for_nobody_and_is_revoked_once(stage: Stage) -> None:
    revoked, kept = await stage.store.add_key(a_key(), "d1"), await stage.store.add_key(a_key(), "d2")
    await stage.stop_the_clock()
    await stage.advance(60)
    assert await stage.store.revoke_key(revoked.id)
    assert not await stage.store.revoke_key(revoked.id)
    assert not await stage.store.revoke_key("key_x")
    assert await stage.store.tenant_of_key("d1") is None
    assert await stage.store.tenant_of_key("d2") == "acme"
    found = {key.id: key for key in await stage.store.list_keys()}
    revoked_at = found[revoked.id].revoked_at
    assert revoked_at is not None
    assert revoked_at >= revoked.created_at + 60_000
    assert found == {revoked.id: replace(revoked, revoked_at=revoked_at), kept.id: kept}


async def test_keys_are_listed_oldest_first(stage: Stage) -> None:
    made = []
    for number in range(3):
        made.append(await stage.store.add_key(a_key(), f"d{number}"))
        await stage.advance(1)
    assert await stage.store.list_keys() == made


async def test_once_there_was_a_key_there_are_keys_though_all_are_revoked(stage: Stage) -> None:
    assert not await stage.store.has_keys()
    key = await stage.store.add_key(a_key(), "d1")
    await stage.store.revoke_key(key.id)
    assert await stage.store.has_keys()
