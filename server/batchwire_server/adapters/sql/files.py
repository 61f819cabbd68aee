"""Files and uploads in SQL."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import file_record, part_record, upload_record
from batchwire_server.adapters.sql.tables import FILE, UPLOAD, UPLOAD_PART
from batchwire_server.core.ports import Page
from batchwire_server.core.records import File, Upload, UploadPart, UploadStatus, after_ms


async def insert_file(connection: AsyncConnection, file: File, now: int, lifetime: int | None) -> File:
    """Store a file created at `now`."""
    stored = replace(file, created_at=now, expires_at=after_ms(now, lifetime))
    await connection.execute(insert(FILE).values(**asdict(stored)))
    return stored


async def page_after(
    connection: AsyncConnection,
    table: Table,
    query: Select[Any],
    tenant: str,
    after: str,
    limit: int,
    *,
    oldest_first: bool,
) -> tuple[list[Any], bool] | None:
    """Run a query as one page in the order of creation. Return its rows, and whether more follow.

    Returns None if `after` is not empty and is not the id of a row of the tenant.
    """
    place = tuple_(table.c.created_at, table.c.id)
    if after:
        anchor = select(table.c.created_at, table.c.id).where(table.c.tenant == tenant, table.c.id == after)
        found = (await connection.execute(anchor)).first()
        if found is None:
            return None
        query = query.where(place > tuple(found) if oldest_first else place < tuple(found))
    directions = [column.asc() if oldest_first else column.desc() for column in (table.c.created_at, table.c.id)]
    rows = (await connection.execute(query.order_by(*directions).limit(limit + 1))).all()
    return list(rows[:limit]), len(rows) > limit


def live(clock: ColumnElement[int]) -> ColumnElement[bool]:
    """Return a condition that selects files that are neither deleted nor expired."""
    return and_(FILE.c.deleted_at.is_(None), or_(FILE.c.expires_at.is_(None), FILE.c.expires_at > clock))


class SqlFiles:
    """The FileStore in SQL."""

    _db: Database

    def _live(self) -> ColumnElement[bool]:
        return live(self._db.clock)

    async def add_file(self, file: File, lifetime: int | None) -> File:
        """See FileStore."""
        async with self._db.write() as connection:
            return await insert_file(connection, file, await self._db.now(connection), lifetime)

    async def get_file(self, tenant: str, file_id: str) -> File | None:
        """See FileStore."""
        query = select(FILE).where(FILE.c.tenant == tenant, FILE.c.id == file_id, self._live())
        async with self._db.read() as connection:
            row = (await connection.execute(query)).first()
        return file_record(row) if row else None

    async def list_files(
        self, tenant: str, *, purpose: str, after: str, limit: int, oldest_first: bool
    ) -> Page[File] | None:
        """See FileStore."""
        query = select(FILE).where(FILE.c.tenant == tenant, self._live())
        if purpose:
            query = query.where(FILE.c.purpose == purpose)
        async with self._db.read() as connection:
            page = await page_after(connection, FILE, query, tenant, after, limit, oldest_first=oldest_first)
        return page and Page([file_record(row) for row in page[0]], page[1])

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        """See FileStore."""
        statement = update(FILE).where(FILE.c.tenant == tenant, FILE.c.id == file_id, self._live())
        async with self._db.write() as connection:
            result = await connection.execute(statement.values(deleted_at=self._db.clock))
        return result.rowcount > 0

    async def add_upload(self, upload: Upload, open_for: int) -> Upload:
        """See FileStore."""
        async with self._db.write() as connection:
            now = await self._db.now(connection)
            stored = replace(upload, created_at=now, expires_at=now + open_for * 1000)
            await connection.execute(insert(UPLOAD).values(**{**asdict(stored), "status": str(stored.status)}))
        return stored

    async def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """See FileStore."""
        query = select(UPLOAD, self._db.clock.label("now")).where(UPLOAD.c.tenant == tenant, UPLOAD.c.id == upload_id)
        async with self._db.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        upload = upload_record(row)
        past = upload.status is UploadStatus.PENDING and upload.expires_at <= row.now
        return replace(upload, status=UploadStatus.EXPIRED) if past else upload

    async def add_part(self, part: UploadPart) -> UploadPart:
        """See FileStore."""
        async with self._db.write() as connection:
            stored = replace(part, created_at=await self._db.now(connection))
            await connection.execute(insert(UPLOAD_PART).values(**asdict(stored)))
        return stored

    async def get_parts(self, upload_id: str) -> list[UploadPart]:
        """See FileStore."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(UPLOAD_PART).where(UPLOAD_PART.c.upload_id == upload_id))
            return [part_record(row) for row in rows]

    def _pending(self, tenant: str, upload_id: str) -> ColumnElement[bool]:
        return and_(
            UPLOAD.c.tenant == tenant,
            UPLOAD.c.id == upload_id,
            UPLOAD.c.status == str(UploadStatus.PENDING),
            UPLOAD.c.expires_at > self._db.clock,
        )

    async def complete_upload(self, upload: Upload, file: File, lifetime: int | None) -> Upload | None:
        """See FileStore."""
        values = {"status": str(UploadStatus.COMPLETED), "file_id": file.id}
        statement = update(UPLOAD).where(self._pending(upload.tenant, upload.id)).values(**values)
        async with self._db.write() as connection:
            if not (await connection.execute(statement)).rowcount:
                return None
            await insert_file(connection, file, await self._db.now(connection), lifetime)
        return replace(upload, status=UploadStatus.COMPLETED, file_id=file.id)

    async def cancel_upload(self, tenant: str, upload_id: str) -> bool:
        """See FileStore."""
        statement = update(UPLOAD).where(self._pending(tenant, upload_id)).values(status=str(UploadStatus.CANCELLED))
        async with self._db.write() as connection:
            return (await connection.execute(statement)).rowcount > 0
