"""API keys in SQL."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import insert, select, update

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import key_record
from batchwire_server.adapters.sql.tables import API_KEY
from batchwire_server.core.records import ApiKey

_VALID = API_KEY.c.revoked_at.is_(None)


class SqlKeys:
    """The KeyStore in SQL."""

    _db: Database

    async def add_key(self, key: ApiKey, digest: str) -> ApiKey:
        """See KeyStore."""
        async with self._db.write() as connection:
            stored = replace(key, created_at=await self._db.now(connection))
            await connection.execute(insert(API_KEY).values(**asdict(stored), digest=digest))
        return stored

    async def list_keys(self) -> list[ApiKey]:
        """See KeyStore."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(API_KEY).order_by(API_KEY.c.created_at, API_KEY.c.id))
            return [key_record(row) for row in rows]

    async def revoke_key(self, key_id: str) -> bool:
        """See KeyStore."""
        statement = update(API_KEY).where(API_KEY.c.id == key_id, _VALID).values(revoked_at=self._db.clock)
        async with self._db.write() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def tenant_of_key(self, digest: str) -> str | None:
        """See KeyStore."""
        async with self._db.read() as connection:
            query = select(API_KEY.c.tenant).where(API_KEY.c.digest == digest, _VALID)
            return (await connection.execute(query)).scalar_one_or_none()

    async def has_keys(self) -> bool:
        """See KeyStore."""
        async with self._db.read() as connection:
            return (await connection.execute(select(API_KEY.c.id).limit(1))).first() is not None
