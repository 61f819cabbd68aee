"""The commands `keys`: they open the database and nothing else.

An operator who creates keys may have no access to the blob store. The first key may be created
before any role has run, so these commands create the schema of an empty database.
"""

from __future__ import annotations

from batchwire_server.adapters.sql import SqlStore
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.core.records import ApiKey
from batchwire_server.roles.adapters import open_database
from batchwire_server.service.api_keys import ApiKeys
from batchwire_server.settings import Settings


async def create(settings: Settings, tenant: str, name: str) -> tuple[ApiKey, str]:
    """Create a key of a tenant; return its record, and the key itself."""
    async with open_database(settings, Migrations.CREATE) as database:
        return await ApiKeys(SqlStore(database)).create(tenant, name)


async def list_all(settings: Settings) -> list[ApiKey]:
    """Return all keys, oldest first."""
    async with open_database(settings, Migrations.CREATE) as database:
        return await ApiKeys(SqlStore(database)).list()


async def revoke(settings: Settings, key_id: str) -> bool:
    """Revoke a key; return False if there is no valid key of this id."""
    async with open_database(settings, Migrations.CREATE) as database:
        return await ApiKeys(SqlStore(database)).revoke(key_id)
