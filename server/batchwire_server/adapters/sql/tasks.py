"""The queue in SQL: claim, lease, fence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Update, and_, case, delete, distinct, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from batchwire_server.adapters.sql.claims import CRASHES, IS_APART, IS_SHARD, LEASED, READY, claim_statements
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import task_record
from batchwire_server.adapters.sql.tables import BATCH, TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import CONTROL_KINDS, CRASH_DELAY_MS, QUARANTINE_AFTER_CRASHES, ClaimRequest, HeldTask
from batchwire_server.core.records import Task, TaskKind


def fenced(task: Task | HeldTask) -> Update:
    """Starts an update of a task that touches no row once its epoch has moved on."""
    return update(TASK).where(TASK.c.id == task.id, TASK.c.epoch == task.epoch, TASK.c.state == LEASED)


async def end_task(connection: AsyncConnection, task: Task) -> None:
    """Marks a task as done. Raises LeaseLostError."""
    if not (await connection.execute(fenced(task).values(state="done", lease_owner=None, lease_until=None))).rowcount:
        raise LeaseLostError


class SqlTasks:
    """The leasing part of the TaskQueue in SQL."""

    _db: Database

    async def claim(self, request: ClaimRequest) -> list[Task]:
        """See TaskQueue."""
        statements, limit = claim_statements(self._db.clock), request.limit
        full, saturated = list(request.full_models), list(request.saturated)
        others = [kind for kind in request.kinds if kind is not TaskKind.RUN]
        rows: list[Row[Any]] = []
        async with self._db.write(quiet=True) as connection:
            before = request.expired_before
            if before is None:
                before = await self._db.now(connection)
            known = {"worker": request.worker, "lease_ms": int(request.ttl_s * 1000), "expired_before": before}

            async def take(statement: ReturningUpdate[Any], *, most: int = limit, **more: Any) -> None:
                if (most := min(most, limit - len(rows))) > 0:
                    rows.extend(await connection.execute(statement, {**known, **more, "most": most}))

            if others and not request.quarantined:
                for lapsed in (True, False):
                    await take(statements.others(others, lapsed=lapsed))
            if TaskKind.RUN in request.kinds:
                shape = {"quarantined": request.quarantined, "but_models": bool(full), "but_saturated": bool(saturated)}
                but: dict[str, Any] = {"full_models": full, "saturated": saturated}
                await take(statements.shards(lapsed=True, **shape), **but)
                groups = (await connection.execute(statements.groups())).all() if len(rows) < limit else ()
                for tenant, model in groups:
                    if model not in full and (model, tenant) not in saturated:
                        room = request.max_shards.get(model, limit) - sum(row.model == model for row in rows)
                        statement = statements.shards(lapsed=False, **shape)
                        await take(statement, most=room, **but, of_tenant=tenant, of_model=model)
        return sorted((task_record(row, row.now) for row in rows), key=lambda task: task.id)

    async def quarantine_waits(self) -> bool:
        """See TaskQueue."""
        few = text("crashes > 0")  # in the words of the index
        clock = self._db.clock
        ready = and_(TASK.c.state == READY, TASK.c.not_before <= clock)
        query = select(TASK.c.id).where(
            few, IS_APART, or_(ready, and_(TASK.c.state == LEASED, TASK.c.lease_until <= clock))
        )
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def overdue(self, seconds: float) -> bool:
        """See TaskQueue."""
        kinds = [str(kind) for kind in CONTROL_KINDS]
        due = TASK.c.not_before <= self._db.clock - int(seconds * 1000)
        query = select(TASK.c.id).where(TASK.c.kind.in_(kinds), ~IS_SHARD, TASK.c.state == READY, due)
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def mark_suspect(self, task: Task, line: int | None) -> None:
        """See TaskQueue."""
        async with self._db.write(quiet=True) as connection:
            if not (await connection.execute(fenced(task).values(suspect=line))).rowcount:
                raise LeaseLostError

    async def renew(self, worker: str, ttl: float) -> int:
        """See TaskQueue."""
        statement = update(TASK).where(TASK.c.lease_owner == worker, TASK.c.state == LEASED)
        async with self._db.write(quiet=True) as connection:
            await connection.execute(statement.values(lease_until=self._db.clock + int(ttl * 1000)))
            return await self._db.now(connection)

    async def held(self, worker: str) -> list[HeldTask]:
        """See TaskQueue."""
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

    async def release(self, task: Task | HeldTask, delay: float = 0.0) -> None:
        """See TaskQueue."""
        freed = {"state": "ready", "lease_owner": None, "lease_until": None, "suspect": None}
        async with self._db.write(work=True) as connection:
            values = {**freed, "not_before": self._db.clock + int(delay * 1000)}
            if not (await connection.execute(fenced(task).values(values))).rowcount:
                raise LeaseLostError

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """See TaskQueue."""
        owned = or_(TASK.c.lease_owner == worker, TASK.c.lease_owner.startswith(f"{worker}/", autoescape=True))
        statement = update(TASK).where(TASK.c.state == LEASED, owned)
        freed: dict[str, Any] = {"state": "ready", "lease_owner": None, "lease_until": None}
        if crashed:
            often = and_(TASK.c.kind != str(TaskKind.RUN), CRASHES >= QUARANTINE_AFTER_CRASHES)
            freed |= {"crashes": CRASHES, "not_before": self._db.clock + case((often, CRASH_DELAY_MS), else_=0)}
        else:
            freed |= {"suspect": None}
        async with self._db.write(work=True) as connection:
            result = await connection.execute(statement.values(freed))
        return result.rowcount

    async def complete(self, task: Task) -> None:
        """See TaskQueue."""
        async with self._db.write(quiet=True) as connection:
            held = (TASK.c.id == task.id) & (TASK.c.epoch == task.epoch) & (TASK.c.state == LEASED)
            if not (await connection.execute(delete(TASK).where(held))).rowcount:
                raise LeaseLostError

    async def model_shares(self) -> dict[str, int]:
        """See TaskQueue."""
        query = (
            select(TASK.c.model, func.count(distinct(TASK.c.lease_owner)).label("workers"))
            .where(TASK.c.state == LEASED, IS_SHARD, TASK.c.lease_until > self._db.clock)
            .group_by(TASK.c.model)
        )
        async with self._db.read() as connection:
            return {row.model: row.workers for row in await connection.execute(query)}
