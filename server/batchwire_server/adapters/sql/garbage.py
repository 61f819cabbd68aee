"""Rows past their time, in SQL."""

from __future__ import annotations

from sqlalchemy import delete, exists, func, or_, select

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.tables import BATCH, FILE, SEGMENT, UPLOAD, UPLOAD_PART
from batchwire_server.core.lifecycle import TERMINAL
from batchwire_server.core.ports import Garbage
from batchwire_server.core.records import UploadStatus

_ENDED = [str(status) for status in TERMINAL]


class SqlGarbage:
    """The GarbageStore in SQL."""

    _db: Database

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """See GarbageStore."""
        clock = self._db.clock
        being_read = exists().where(BATCH.c.input_key == FILE.c.blob_key, BATCH.c.status.not_in(_ENDED))
        files = select(FILE.c.id, FILE.c.blob_key).where(
            or_(FILE.c.deleted_at.is_not(None), FILE.c.expires_at <= clock), ~being_read
        )
        uploads = (
            select(UPLOAD_PART.c.upload_id)
            .join(UPLOAD, UPLOAD.c.id == UPLOAD_PART.c.upload_id)
            .where(or_(UPLOAD.c.status != str(UploadStatus.PENDING), UPLOAD.c.expires_at <= clock))
            .distinct()
        )
        ended_at = func.coalesce(BATCH.c.completed_at, BATCH.c.expired_at, BATCH.c.cancelled_at)
        batches = (
            select(SEGMENT.c.batch_id)
            .join(BATCH, BATCH.c.id == SEGMENT.c.batch_id)
            .where(BATCH.c.status.in_(_ENDED), ended_at <= clock - result_lifetime * 1000)
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
