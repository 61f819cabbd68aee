"""Garbage in SQL."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, union_all

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import live
from batchwire_server.adapters.sql.tables import BATCH, FILE, SEGMENT, UPLOAD, UPLOAD_PART
from batchwire_server.core.lifecycle import END_STAMPS, TERMINAL
from batchwire_server.core.ports import Garbage
from batchwire_server.core.records import UploadStatus

_ENDED = [str(status) for status in TERMINAL]


def _ended_before(instant: ColumnElement[int]) -> ColumnElement[bool]:
    ended_at = func.coalesce(*(BATCH.c[stamp] for stamp in END_STAMPS))
    return and_(BATCH.c.status.in_(_ENDED), ended_at <= instant)


_BEING_READ = exists().where(BATCH.c.input_key == FILE.c.blob_key, BATCH.c.status.not_in(_ENDED))
"""Selects files that an unfinished batch reads."""


class SqlGarbage:
    """The GarbageStore in SQL."""

    _db: Database

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """See GarbageStore."""
        clock = self._db.clock
        files = select(FILE.c.id, FILE.c.blob_key).where(
            or_(FILE.c.deleted_at.is_not(None), FILE.c.expires_at <= clock), ~_BEING_READ
        )
        uploads = (
            select(UPLOAD_PART.c.upload_id)
            .outerjoin(UPLOAD, UPLOAD.c.id == UPLOAD_PART.c.upload_id)
            .where(
                or_(UPLOAD.c.id.is_(None), UPLOAD.c.status != str(UploadStatus.PENDING), UPLOAD.c.expires_at <= clock)
            )
            .distinct()
        )
        batches = (
            select(SEGMENT.c.batch_id)
            .outerjoin(BATCH, BATCH.c.id == SEGMENT.c.batch_id)
            .where(or_(BATCH.c.id.is_(None), _ended_before(clock - result_lifetime * 1000)))
            .distinct()
        )
        async with self._db.read() as connection:
            return Garbage(
                files={row.id: row.blob_key for row in await connection.execute(files.limit(limit))},
                uploads=list((await connection.execute(uploads.limit(limit))).scalars()),
                batches=list((await connection.execute(batches.limit(limit))).scalars()),
            )

    async def forget(self, garbage: Garbage) -> None:
        """See GarbageStore."""
        async with self._db.write() as connection:
            await connection.execute(delete(FILE).where(FILE.c.id.in_(list(garbage.files))))
            await connection.execute(delete(UPLOAD_PART).where(UPLOAD_PART.c.upload_id.in_(garbage.uploads)))
            await connection.execute(delete(SEGMENT).where(SEGMENT.c.batch_id.in_(garbage.batches)))

    async def prune(self, limit: int, *, upload_lifetime: int, batch_lifetime: int) -> bool:
        """See GarbageStore."""
        clock = self._db.clock
        uploads = select(UPLOAD.c.id).where(UPLOAD.c.expires_at <= clock - upload_lifetime * 1000).limit(limit)
        since = clock - batch_lifetime * 1000
        # A batch that ended before an instant was also created before it, and `created_at` has an
        # index.
        batches = select(BATCH.c.id).where(BATCH.c.created_at <= since, _ended_before(since)).limit(limit)
        async with self._db.read() as connection:
            old_uploads = list((await connection.execute(uploads)).scalars())
            old_batches = list((await connection.execute(batches)).scalars()) if batch_lifetime else []
        if old_uploads or old_batches:
            async with self._db.write() as connection:
                await connection.execute(delete(UPLOAD).where(UPLOAD.c.id.in_(old_uploads)))
                await connection.execute(delete(BATCH).where(BATCH.c.id.in_(old_batches)))
        return max(len(old_uploads), len(old_batches)) == limit

    async def referenced(self, keys: Collection[str]) -> set[str]:
        """See GarbageStore."""
        columns = (FILE.c.blob_key, UPLOAD_PART.c.blob_key, SEGMENT.c.blob_key)
        read = select(BATCH.c.input_key).where(BATCH.c.input_key.in_(keys), BATCH.c.status.not_in(_ENDED))
        query = union_all(*(select(column).where(column.in_(keys)) for column in columns), read)
        async with self._db.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def newest_needed(self, limit: int) -> list[str]:
        """See GarbageStore."""
        needed = select(FILE.c.blob_key).where(or_(live(self._db.clock), _BEING_READ))
        newest = needed.order_by(FILE.c.created_at.desc(), FILE.c.id.desc()).limit(limit)
        async with self._db.read() as connection:
            return list(await connection.scalars(newest))
