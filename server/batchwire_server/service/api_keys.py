"""Access: keys, and whom they act for."""

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
    """Returns what is kept of a key. Keys are random and long, so that a plain hash is as good as a slow one."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_hint(key: str) -> str:
    """Returns what may be shown of a key: enough to tell it from others, too little to guess it."""
    return f"{key[:6]}…{key[-4:]}" if len(key) > 20 else f"{key[:3]}…"


class ApiKeys:
    """The use cases of operators."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def create(self, tenant: str, name: str) -> tuple[ApiKey, str]:
        """Makes a key for a tenant; returns its record, and the key itself, which is never shown again."""
        key = PREFIX + secrets.token_urlsafe(32)
        record = ApiKey(ids.key_id(), tenant, name, key_hint(key))
        return await self._store.add_key(record, digest_of(key)), key

    async def list(self) -> list[ApiKey]:
        """Returns all keys, oldest first."""
        return await self._store.list_keys()

    async def revoke(self, key_id: str) -> bool:
        """Revokes a key at once; tells whether there was one to revoke."""
        return await self._store.revoke_key(key_id)


class ApiKeyAuthenticator:
    """Tells whom a call acts for.

    Args:
        store: the keys.
        open_without_keys: whether, as long as no key was ever made, every call acts for one tenant.
    """

    def __init__(self, store: KeyStore, *, open_without_keys: bool) -> None:
        self._store = store
        self._open_without_keys = open_without_keys
        self._found = SingleFlight(self._find)

    async def tenant(self, key: str) -> str:
        """Returns the tenant of a call that brings a key, or an empty string. Raises BatchwireError."""
        if tenant := await self._found(key):
            return tenant
        raise invalid_api_key(key_hint(key)) if key else missing_api_key()

    async def _find(self, key: str) -> str | None:
        if key and (tenant := await self._store.tenant_of_key(digest_of(key))):
            return tenant
        if self._open_without_keys and not await self._store.has_keys():
            return DEFAULT_TENANT
        return None
