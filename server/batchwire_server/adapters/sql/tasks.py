"""The queue in SQL: claim, lease, fence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, case, delete, distinct, func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import task_record
from batchwire_server.adapters.sql.tables import BATCH, TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import CRASH_DELAY_MS, SET_ASIDE_AFTER, Held
from batchwire_server.core.records import Task, TaskKind


def fenced(task: Task | Held) -> Update:
    """Starts an update of a task that touches no row once its epoch has moved on."""
    return update(TASK).where(TASK.c.id == task.id, TASK.c.epoch == task.epoch, TASK.c.state == "leased")


async def end_task(connection: AsyncConnection, task: Task) -> None:
    """Marks a task as done. Raises LeaseLostError."""
    if not (await connection.execute(fenced(task).values(state="done", lease_owner=None, lease_until=None))).rowcount:
        raise LeaseLostError


# A lease that has run out was held by somebody who has ended, or stands still.
CRASHES = TASK.c.crashes + case((TASK.c.state == "leased", 1), else_=0)


def _due(clock: ColumnElement[int], expired_before: int | None = None) -> ColumnElement[bool]:
    return or_(
        and_(TASK.c.state == "ready", TASK.c.not_before <= clock),
        and_(TASK.c.state == "leased", TASK.c.lease_until <= (clock if expired_before is None else expired_before)),
    )


class SqlTasks:
    """The leasing part of the TaskQueue in SQL."""

    _db: Database

    async def claim(
        self,
        worker: str,
        kinds: Collection[TaskKind],
        *,
        ttl: float,
        full_models: Collection[str] = (),
        fed: Collection[tuple[str, str]] = (),
        limit: int = 1,
        set_aside: bool = False,
        expired_before: int | None = None,
    ) -> list[Task]:
        """See TaskQueue."""
        clock = self._db.clock
        held = (
            select(TASK.c.tenant, func.count().label("shards"))
            .where(TASK.c.state == "leased", TASK.c.kind == str(TaskKind.RUN), TASK.c.lease_until > clock)
            .group_by(TASK.c.tenant)
            .subquery()
        )
        apart = and_(TASK.c.kind == str(TaskKind.RUN), CRASHES >= SET_ASIDE_AFTER)
        query = (
            select(TASK.c.id)
            .outerjoin(held, held.c.tenant == TASK.c.tenant)
            .where(TASK.c.kind.in_([str(kind) for kind in kinds]), _due(clock, expired_before))
            .where(apart if set_aside else ~apart)
            # The tenant with the fewest shards at work comes first, then whoever has the least time.
            .order_by(func.coalesce(held.c.shards, 0), TASK.c.deadline.nulls_last(), TASK.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=TASK)
        )
        if full_models:
            query = query.where(TASK.c.model.not_in(list(full_models)))
        if fed:
            query = query.where(tuple_(TASK.c.model, TASK.c.tenant).not_in(list(fed)))
        lease = (
            update(TASK)
            # Evaluated once: as a mere subquery PostgreSQL may run it again, and lock more than it takes.
            .where(TASK.c.id.in_(select(query.cte("due").c.id)))
            .values(
                state="leased",
                lease_owner=worker,
                lease_until=clock + int(ttl * 1000),
                epoch=TASK.c.epoch + 1,
                attempts=TASK.c.attempts + 1,
                crashes=CRASHES,
            )
            .returning(TASK, clock.label("now"))
        )
        async with self._db.write() as connection:
            rows = (await connection.execute(lease)).all()
        return sorted((task_record(row, row.now) for row in rows), key=lambda task: task.id)

    async def set_aside_waits(self) -> bool:
        """See TaskQueue."""
        few = text("crashes > 0")  # in the words of the index
        query = select(TASK.c.id).where(
            few, TASK.c.kind == str(TaskKind.RUN), CRASHES >= SET_ASIDE_AFTER, _due(self._db.clock)
        )
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def suspect(self, task: Task, line: int | None) -> None:
        """See TaskQueue."""
        async with self._db.write() as connection:
            if not (await connection.execute(fenced(task).values(suspect=line))).rowcount:
                raise LeaseLostError

    async def renew(self, worker: str, ttl: float) -> int:
        """See TaskQueue."""
        statement = update(TASK).where(TASK.c.lease_owner == worker, TASK.c.state == "leased")
        async with self._db.write(quiet=True) as connection:
            await connection.execute(statement.values(lease_until=self._db.clock + int(ttl * 1000)))
            return await self._db.now(connection)

    async def held(self, worker: str) -> list[Held]:
        """See TaskQueue."""
        query = (
            select(TASK.c.id, TASK.c.epoch, BATCH.c.status)
            .outerjoin(BATCH, BATCH.c.id == TASK.c.batch_id)
            .where(TASK.c.lease_owner == worker, TASK.c.state == "leased")
        )
        async with self._db.read() as connection:
            return [
                Held(row.id, row.epoch, BatchStatus(row.status) if row.status else None)
                for row in await connection.execute(query)
            ]

    async def release(self, task: Task | Held, delay: float = 0.0) -> None:
        """See TaskQueue."""
        freed = {"state": "ready", "lease_owner": None, "lease_until": None, "suspect": None}
        async with self._db.write() as connection:
            values = {**freed, "not_before": self._db.clock + int(delay * 1000)}
            if not (await connection.execute(fenced(task).values(values))).rowcount:
                raise LeaseLostError

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """See TaskQueue."""
        owned = or_(TASK.c.lease_owner == worker, TASK.c.lease_owner.startswith(f"{worker}/", autoescape=True))
        statement = update(TASK).where(TASK.c.state == "leased", owned)
        freed: dict[str, Any] = {"state": "ready", "lease_owner": None, "lease_until": None}
        if crashed:
            often = and_(TASK.c.kind != str(TaskKind.RUN), CRASHES >= SET_ASIDE_AFTER)
            freed |= {"crashes": CRASHES, "not_before": self._db.clock + case((often, CRASH_DELAY_MS), else_=0)}
        else:
            freed |= {"suspect": None}
        async with self._db.write() as connection:
            result = await connection.execute(statement.values(freed))
        return result.rowcount

    async def complete(self, task: Task) -> None:
        """See TaskQueue."""
        async with self._db.write() as connection:
            held = (TASK.c.id == task.id) & (TASK.c.epoch == task.epoch) & (TASK.c.state == "leased")
            if not (await connection.execute(delete(TASK).where(held))).rowcount:
                raise LeaseLostError

    async def model_shares(self) -> dict[str, int]:
        """See TaskQueue."""
        query = (
            select(TASK.c.model, func.count(distinct(TASK.c.lease_owner)).label("workers"))
            .where(TASK.c.state == "leased", TASK.c.kind == str(TaskKind.RUN), TASK.c.lease_until > self._db.clock)
            .group_by(TASK.c.model)
        )
        async with self._db.read() as connection:
            return {row.model: row.workers for row in await connection.execute(query)}
