"""The state of the queue and of tasks in SQL."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import and_, distinct, func, or_, select, text

from batchwire_server.adapters.sql.claims import IS_QUARANTINED, IS_SHARD, LEASED, READY
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import batch_record, segment_record, task_record
from batchwire_server.adapters.sql.tables import BATCH, SEGMENT, TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import CONTROL_KINDS, CompletedShard, HeldTask
from batchwire_server.core.records import Batch, Segment, Task, TaskKind


class SqlReading:
    """TaskReading in SQL."""

    _db: Database

    async def held(self, worker: str) -> list[HeldTask]:
        """See TaskReading."""
        query = (
            select(TASK.c.id, TASK.c.epoch, BATCH.c.status)
            .outerjoin(BATCH, BATCH.c.id == TASK.c.batch_id)
            .where(TASK.c.lease_owner == worker, TASK.c.state == LEASED)
        )
        async with self._db.read() as connection:
            return [
                HeldTask(row.id, row.epoch, BatchStatus(row.status) if row.status else None)
                for row in await connection.execute(query)
            ]

    async def quarantine_waits(self) -> bool:
        """See TaskReading."""
        crashed = text("crashes > 0")  # as the partial index spells it
        clock = self._db.clock
        ready = and_(TASK.c.state == READY, TASK.c.not_before <= clock)
        query = select(TASK.c.id).where(
            crashed, IS_QUARANTINED, or_(ready, and_(TASK.c.state == LEASED, TASK.c.lease_until <= clock))
        )
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def overdue(self, seconds: float) -> bool:
        """See TaskReading."""
        kinds = [str(kind) for kind in CONTROL_KINDS]
        due = TASK.c.not_before <= self._db.clock - int(seconds * 1000)
        query = select(TASK.c.id).where(TASK.c.kind.in_(kinds), ~IS_SHARD, TASK.c.state == READY, due)
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def model_shares(self) -> dict[str, int]:
        """See TaskReading."""
        query = (
            select(TASK.c.model, func.count(distinct(TASK.c.lease_owner)).label("workers"))
            .where(TASK.c.state == LEASED, IS_SHARD, TASK.c.lease_until > self._db.clock)
            .group_by(TASK.c.model)
        )
        async with self._db.read() as connection:
            return {row.model: row.workers for row in await connection.execute(query)}

    async def batch_of(self, task: Task) -> Batch:
        """See TaskReading."""
        async with self._db.read() as connection:
            row = (await connection.execute(select(BATCH).where(BATCH.c.id == task.batch_id))).first()
        if row is None:
            raise LeaseLostError
        return batch_record(row)

    async def segments_of(self, task: Task) -> list[Segment]:
        """See TaskReading."""
        async with self._db.read() as connection:
            mine = (SEGMENT.c.batch_id == task.batch_id) & (SEGMENT.c.task_id == task.id)
            rows = await connection.execute(select(SEGMENT).where(mine))
            return [segment_record(row) for row in rows]

    async def shards_of(self, batch_id: str) -> list[CompletedShard]:
        """See TaskReading."""
        async with self._db.read() as connection:
            segments: dict[int, list[Segment]] = defaultdict(list)
            for row in await connection.execute(select(SEGMENT).where(SEGMENT.c.batch_id == batch_id)):
                segments[row.task_id].append(segment_record(row))
            query = select(TASK).where(TASK.c.batch_id == batch_id, TASK.c.kind == str(TaskKind.RUN))
            tasks = [task_record(row, 0) for row in await connection.execute(query.order_by(TASK.c.id))]
        shards = [
            CompletedShard(task.model, task.shard, segments[task.id]) for task in tasks if task.shard and task.model
        ]
        return sorted(shards, key=lambda run: run.shard.window)
