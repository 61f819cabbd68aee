"""Batches in SQL, and the transitions of their status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import page_after
from batchwire_server.adapters.sql.rows import batch_record, batch_values, segment_record
from batchwire_server.adapters.sql.tables import BATCH, SEGMENT, TASK
from batchwire_server.adapters.sql.webhooks import deliveries_of
from batchwire_server.core.errors import idempotency_key_reused, too_many_batches
from batchwire_server.core.lifecycle import STAMPS, TERMINAL, BatchStatus, predecessors
from batchwire_server.core.limits import HOUR_MS, wait_for_room
from batchwire_server.core.ports import IdempotencyKey, Page
from batchwire_server.core.records import Batch, Segment, TaskKind
from batchwire_server.core.webhooks import LIFETIME_S


def task_values(kind: TaskKind, batch: Batch, not_before: int, **more: Any) -> dict[str, Any]:
    """Return the columns of a new task of a batch."""
    return {
        "kind": str(kind),
        "state": "ready",
        "batch_id": batch.id,
        "tenant": batch.tenant,
        "model": None,
        "deadline": batch.expires_at,
        "not_before": not_before,
        "epoch": 0,
        "attempts": 0,
        "crashes": 0,
        "shard": None,
        **more,
    }


async def transition(
    connection: AsyncConnection, batch_id: str, status: BatchStatus, now: int, **values: Any
) -> Batch | None:
    """Move a batch to `status`.

    Return it as it then is, or None if the transition is not allowed.
    """
    statement = (
        update(BATCH)
        .where(BATCH.c.id == batch_id, BATCH.c.status.in_([str(before) for before in predecessors(status)]))
        .values({"status": str(status), STAMPS[status]: now, "revision": BATCH.c.revision + 1, **values})
        .returning(BATCH)
    )
    row = (await connection.execute(statement)).first()
    batch = batch_record(row) if row else None
    if batch and status in TERMINAL:
        await queue_deliveries(connection, batch, now)
    return batch


async def queue_deliveries(connection: AsyncConnection, batch: Batch, now: int) -> None:
    """Queue the webhook deliveries of a batch's end.

    They have no batch id: its tasks are deleted now.
    """
    more = {"batch_id": None, "deadline": now + LIFETIME_S * 1000}
    rows = [
        task_values(TaskKind.DELIVER, batch, now, delivery=asdict(delivery), **more)
        for delivery in await deliveries_of(connection, batch, now)
    ]
    if rows:
        await connection.execute(insert(TASK), rows)


async def add_finalizing(connection: AsyncConnection, batch: Batch, now: int) -> None:
    """Queue the `finalize` task of a batch of which nothing runs any more."""
    await connection.execute(insert(TASK).values(task_values(TaskKind.FINALIZE, batch, now)))


async def wind_down(connection: AsyncConnection, batch_id: str, status: BatchStatus, now: int) -> bool:
    """End a batch early: drop what has not started, and leave leased shards to their workers.

    `status` is `cancelling`, or `finalizing` if the window has ended. Returns False if the batch
    cannot move to it.
    """
    unstarted = and_(
        TASK.c.batch_id == batch_id,
        TASK.c.state != "done",
        or_((TASK.c.kind == str(TaskKind.RUN)) & (TASK.c.state == "ready"), TASK.c.kind == str(TaskKind.VALIDATE)),
    )
    # Lock the tasks before their batch, as reports do: otherwise the two transactions could
    # deadlock.
    await connection.execute(select(TASK.c.id).where(unstarted).order_by(TASK.c.id).with_for_update())
    if await transition(connection, batch_id, status, now) is None:
        return False
    drop = update(TASK).where(unstarted).values(state="done", epoch=TASK.c.epoch + 1).returning(TASK.c.kind)
    dropped = sum(row.kind == str(TaskKind.RUN) for row in await connection.execute(drop))
    close = (
        update(BATCH).where(BATCH.c.id == batch_id).values(open_shards=BATCH.c.open_shards - dropped).returning(BATCH)
    )
    batch = batch_record((await connection.execute(close)).one())
    if not batch.open_shards:
        await add_finalizing(connection, batch, now)
    return True


class SqlBatches:
    """The BatchStore in SQL."""

    _db: Database

    async def add_batch(self, batch: Batch, idempotency_key: IdempotencyKey | None = None, per_hour: int = 0) -> Batch:
        """See BatchStore."""
        try:
            return await self._add_batch(batch, idempotency_key, per_hour)
        except IntegrityError:
            if idempotency_key is None:
                raise
            return await self._add_batch(batch, idempotency_key, per_hour)  # a concurrent call with the same key won

    async def _add_batch(self, batch: Batch, idempotency_key: IdempotencyKey | None, per_hour: int) -> Batch:
        async with self._db.write(work=True) as connection:
            if idempotency_key and (known := await self._created_before(connection, batch.tenant, idempotency_key)):
                return known
            now = await self._db.now(connection)
            if per_hour:
                await self._check_rate(connection, batch.tenant, per_hour, now)
            stored = replace(batch, created_at=now, expires_at=now + batch.window_seconds * 1000)
            named = {
                "idempotency_key": idempotency_key and idempotency_key.key,
                "fingerprint": idempotency_key and idempotency_key.fingerprint,
            }
            await connection.execute(insert(BATCH).values(batch_values(stored) | named))
            tasks = [
                task_values(TaskKind.VALIDATE, stored, now),
                task_values(TaskKind.EXPIRE, stored, stored.expires_at),
            ]
            await connection.execute(insert(TASK).values(tasks))
        return stored

    async def _check_rate(self, connection: AsyncConnection, tenant: str, per_hour: int, now: int) -> None:
        """Raise BatchwireError if the tenant created `per_hour` batches within the last hour."""
        created = select(BATCH.c.created_at).where(BATCH.c.tenant == tenant, BATCH.c.created_at > now - HOUR_MS)
        limiting = created.order_by(BATCH.c.created_at.desc()).offset(per_hour - 1).limit(1)
        oldest = (await connection.execute(limiting)).scalar()
        if oldest is not None:
            raise too_many_batches(per_hour, wait_for_room(oldest, now))

    async def _created_before(
        self, connection: AsyncConnection, tenant: str, idempotency_key: IdempotencyKey
    ) -> Batch | None:
        query = select(BATCH).where(BATCH.c.tenant == tenant, BATCH.c.idempotency_key == idempotency_key.key)
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        if row.fingerprint != idempotency_key.fingerprint:
            raise idempotency_key_reused(row.id)
        return batch_record(row)

    async def find_batch(self, tenant: str, idempotency_key: IdempotencyKey) -> Batch | None:
        """See BatchStore."""
        async with self._db.read() as connection:
            return await self._created_before(connection, tenant, idempotency_key)

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """See BatchStore."""
        async with self._db.read() as connection:
            query = select(BATCH).where(BATCH.c.tenant == tenant, BATCH.c.id == batch_id)
            row = (await connection.execute(query)).first()
        return batch_record(row) if row else None

    async def list_batches(self, tenant: str, *, after: str, limit: int) -> Page[Batch] | None:
        """See BatchStore."""
        query = select(BATCH).where(BATCH.c.tenant == tenant)
        async with self._db.read() as connection:
            page = await page_after(connection, BATCH, query, tenant, after, limit, oldest_first=False)
        return page and Page([batch_record(row) for row in page[0]], page[1])

    async def cancel_batch(self, tenant: str, batch_id: str) -> None:
        """See BatchStore."""
        async with self._db.write(work=True) as connection:
            owned = select(BATCH.c.id).where(BATCH.c.tenant == tenant, BATCH.c.id == batch_id)
            if (await connection.execute(owned)).first():
                await wind_down(connection, batch_id, BatchStatus.CANCELLING, await self._db.now(connection))

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        """See BatchStore."""
        async with self._db.read() as connection:
            rows = await connection.execute(select(BATCH.c.id, BATCH.c.revision).where(BATCH.c.id.in_(list(revisions))))
            changed = [row.id for row in rows if row.revision != revisions[row.id]]
            if not changed:
                return []
            return [batch_record(row) for row in await connection.execute(select(BATCH).where(BATCH.c.id.in_(changed)))]

    async def segments_from(self, batch_id: str, offset: int, limit: int) -> list[Segment]:
        """See BatchStore."""
        query = (
            select(SEGMENT)
            .where(SEGMENT.c.batch_id == batch_id, SEGMENT.c.start + SEGMENT.c.bytes > offset)
            .order_by(SEGMENT.c.start)
            .limit(limit)
        )
        async with self._db.read() as connection:
            return [segment_record(row) for row in await connection.execute(query)]
