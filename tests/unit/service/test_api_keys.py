"""API keys: what is stored and shown of them, and which tenant a call acts for."""

from __future__ import annotations

import pytest
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.service.api_keys import DEFAULT_TENANT, ApiKeyAuthenticator, ApiKeys, key_hint

from tests.ports.memory_harness import MemoryHarness


@pytest.fixture
def keys() -> ApiKeys:
    return ApiKeys(MemoryHarness().store)


async def refusal(authenticator: ApiKeyAuthenticator, key: str) -> Reason:
    with pytest.raises(BatchwireError) as refused:
        await authenticator.tenant(key)
    return refused.value.reason


async def test_a_key_is_shown_once_and_listed_by_its_hint(keys: ApiKeys) -> None:
    record, key = await keys.create("red", "laptop")
    assert key.startswith("bw-")
    assert key not in str(await keys.list())
    assert [(listed.id, listed.name) for listed in await keys.list()] == [(record.id, "laptop")]
    assert record.hint == f"{key[:6]}…{key[-4:]}"


@pytest.mark.parametrize(("key", "hint"), [("", "…"), ("secret", "sec…"), ("x" * 21, "xxxxxx…xxxx")])
def test_the_hint_of_a_short_text_shows_three_characters(key: str, hint: str) -> None:
    assert key_hint(key) == hint


async def test_a_key_is_revoked_once() -> None:
    store = MemoryHarness().store
    keys, authenticator = ApiKeys(store), ApiKeyAuthenticator(store, open_without_keys=False)
    record, key = await keys.create("red", "")
    assert await authenticator.tenant(key) == "red"
    assert await keys.revoke(record.id)
    assert not await keys.revoke(record.id)
    assert await refusal(authenticator, key) is Reason.INVALID_API_KEY


async def test_missing_and_wrong_keys_are_told_apart() -> None:
    authenticator = ApiKeyAuthenticator(MemoryHarness().store, open_without_keys=False)
    assert await refusal(authenticator, "") is Reason.MISSING_API_KEY
    assert await refusal(authenticator, "wrong") is Reason.INVALID_API_KEY


async def test_without_keys_every_call_acts_for_the_default_tenant_until_the_first_key() -> None:
    store = MemoryHarness().store
    keys, authenticator = ApiKeys(store), ApiKeyAuthenticator(store, open_without_keys=True)
    assert await authenticator.tenant("") == await authenticator.tenant("any") == DEFAULT_TENANT
    record, _ = await keys.create("red", "")
    await keys.revoke(record.id)
    assert await refusal(authenticator, "") is Reason.MISSING_API_KEY
