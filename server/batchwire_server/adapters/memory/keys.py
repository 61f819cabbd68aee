"""API keys in memory."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.adapters.memory.tables import Memory, insert
from batchwire_server.core.records import ApiKey


class MemoryKeys:
    """The KeyStore in memory."""

    _memory: Memory

    async def add_key(self, key: ApiKey, digest: str) -> ApiKey:
        """See KeyStore."""
        async with self._memory.write() as tables:
            stored = replace(key, created_at=self._memory.now())
            insert(tables.keys, digest, stored)
        return stored

    async def list_keys(self) -> list[ApiKey]:
        """See KeyStore."""
        return sorted((await self._memory.read()).keys.values(), key=lambda key: (key.created_at, key.id))

    async def revoke_key(self, key_id: str) -> bool:
        """See KeyStore."""
        async with self._memory.write() as tables:
            for digest, key in tables.keys.items():
                if key.id == key_id and key.revoked_at is None:
                    tables.keys[digest] = replace(key, revoked_at=self._memory.now())
                    return True
        return False

    async def tenant_of_key(self, digest: str) -> str | None:
        """See KeyStore."""
        key = (await self._memory.read()).keys.get(digest)
        return key.tenant if key and key.revoked_at is None else None

    async def has_keys(self) -> bool:
        """See KeyStore."""
        return bool((await self._memory.read()).keys)
