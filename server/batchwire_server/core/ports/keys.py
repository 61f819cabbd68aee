"""The store of API keys."""

from __future__ import annotations

from typing import Protocol

from batchwire_server.core.records import ApiKey


class KeyStore(Protocol):
    """API keys, identified by their digests."""

    async def add_key(self, key: ApiKey, digest: str) -> ApiKey:
        """Store a key; return it with its time."""

    async def list_keys(self) -> list[ApiKey]:
        """Return all keys, revoked ones included, oldest first."""

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key; return whether it was valid."""

    async def tenant_of_key(self, digest: str) -> str | None:
        """Return the tenant of a key that is not revoked, or None."""

    async def has_keys(self) -> bool:
        """Return whether a key was ever created."""
