"""API keys: managed by operators, and checked on every call."""

from __future__ import annotations

import hashlib
import secrets

from batchwire_server.core import ids
from batchwire_server.core.errors import invalid_api_key, missing_api_key
from batchwire_server.core.ports import KeyStore
from batchwire_server.core.records import ApiKey
from batchwire_server.service.single_flight import SingleFlight

DEFAULT_TENANT = "default"
PREFIX = "bw-"


def digest_of(key: str) -> str:
    """Return the digest under which a key is stored.

    Keys are long and random, so a slow hash would add nothing to SHA-256.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def key_hint(key: str) -> str:
    """Return the part of a key that may be shown: enough to recognize it, not to guess it."""
    return f"{key[:6]}…{key[-4:]}" if len(key) > 20 else f"{key[:3]}…"


class ApiKeys:
    """The use cases of operators: create, list and revoke keys."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def create(self, tenant: str, name: str) -> tuple[ApiKey, str]:
        """Create a key of a tenant; return its record, and the key itself, which is not stored."""
        key = PREFIX + secrets.token_urlsafe(32)
        record = ApiKey(ids.key_id(), tenant, name, key_hint(key))
        return await self._store.add_key(record, digest_of(key)), key

    async def list(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        return await self._store.list_keys()

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key at once; return False if no valid key has this id."""
        return await self._store.revoke_key(key_id)


class ApiKeyAuthenticator:
    """Finds the tenant of a call by its API key.

    Args:
        store: the keys.
        open_without_keys: accept every call, as `default`, until the first key is created.
    """

    def __init__(self, store: KeyStore, *, open_without_keys: bool) -> None:
        self._store = store
        self._open_without_keys = open_without_keys
        self._find_shared = SingleFlight(self._find)

    async def tenant(self, key: str) -> str:
        """Return the tenant of a key; an empty key means a call without one.

        Raises BatchwireError.
        """
        if tenant := await self._find_shared(key):
            return tenant
        raise invalid_api_key(key_hint(key)) if key else missing_api_key()

    async def _find(self, key: str) -> str | None:
        if key and (tenant := await self._store.tenant_of_key(digest_of(key))):
            return tenant
        if self._open_without_keys and not await self._store.has_keys():
            return DEFAULT_TENANT
        return None
