"""Leases of tasks in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Update, and_, case, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from batchwire_server.adapters.sql.claims import CRASHES, LEASED, claim_statements
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import task_record
from batchwire_server.adapters.sql.tables import TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.ports import CRASH_DELAY_MS, QUARANTINE_AFTER_CRASHES, ClaimRequest, HeldTask
from batchwire_server.core.records import Task, TaskKind


def is_held(task: Task | HeldTask) -> ColumnElement[bool]:
    """Return a condition that selects the task's row, and no row once its epoch has moved on."""
    return and_(TASK.c.id == task.id, TASK.c.epoch == task.epoch, TASK.c.state == LEASED)


def fenced(task: Task | HeldTask) -> Update:
    """Return the start of an update that changes no row once the task's epoch has moved on."""
    return update(TASK).where(is_held(task))


async def end_task(connection: AsyncConnection, task: Task) -> None:
    """Mark a task as done. Raises LeaseLostError."""
    if not (await connection.execute(fenced(task).values(state="done", lease_owner=None, lease_until=None))).rowcount:
        raise LeaseLostError


class SqlLeasing:
    """TaskLeasing in SQL."""

    _db: Database

    async def claim(self, request: ClaimRequest) -> list[Task]:
        """See TaskLeasing."""
        statements, limit = claim_statements(self._db.clock), request.limit
        full, saturated = list(request.full_models), list(request.saturated)
        other_kinds = [kind for kind in request.kinds if kind is not TaskKind.RUN]
        rows: list[Row[Any]] = []
        async with self._db.write(quiet=True) as connection:
            before = request.expired_before
            if before is None:
                before = await self._db.now(connection)
            common = {"worker": request.worker, "lease_ms": int(request.ttl_s * 1000), "expired_before": before}

            async def lease(statement: ReturningUpdate[Any], *, most: int = limit, **more: Any) -> None:
                if (most := min(most, limit - len(rows))) > 0:
                    rows.extend(await connection.execute(statement, {**common, **more, "most": most}))

            if other_kinds and not request.quarantined:
                for expired in (True, False):
                    await lease(statements.other_kinds(other_kinds, expired=expired))
            if TaskKind.RUN in request.kinds:
                shape = {
                    "quarantined": request.quarantined,
                    "skip_full": bool(full),
                    "skip_saturated": bool(saturated),
                }
                skipped: dict[str, Any] = {"full_models": full, "saturated": saturated}
                await lease(statements.shards(expired=True, **shape), **skipped)
                pairs = (await connection.execute(statements.ready_pairs())).all() if len(rows) < limit else ()
                for tenant, model in pairs:
                    if model not in full and (model, tenant) not in saturated:
                        room = request.max_shards.get(model, limit) - sum(row.model == model for row in rows)
                        statement = statements.shards(expired=False, **shape)
                        await lease(statement, most=room, **skipped, of_tenant=tenant, of_model=model)
        return sorted((task_record(row, row.now) for row in rows), key=lambda task: task.id)

    async def mark_suspect(self, task: Task, line: int | None) -> None:
        """See TaskLeasing."""
        async with self._db.write(quiet=True) as connection:
            if not (await connection.execute(fenced(task).values(suspect=line))).rowcount:
                raise LeaseLostError

    async def renew(self, worker: str, ttl: float) -> int:
        """See TaskLeasing."""
        statement = update(TASK).where(TASK.c.lease_owner == worker, TASK.c.state == LEASED)
        async with self._db.write(quiet=True) as connection:
            await connection.execute(statement.values(lease_until=self._db.clock + int(ttl * 1000)))
            return await self._db.now(connection)

    async def release(self, task: Task | HeldTask, delay: float = 0.0) -> None:
        """See TaskLeasing."""
        freed = {"state": "ready", "lease_owner": None, "lease_until": None, "suspect": None}
        async with self._db.write(work=True) as connection:
            values = {**freed, "not_before": self._db.clock + int(delay * 1000)}
            if not (await connection.execute(fenced(task).values(values))).rowcount:
                raise LeaseLostError

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """See TaskLeasing."""
        owned = or_(TASK.c.lease_owner == worker, TASK.c.lease_owner.startswith(f"{worker}/", autoescape=True))
        statement = update(TASK).where(TASK.c.state == LEASED, owned)
        freed: dict[str, Any] = {"state": "ready", "lease_owner": None, "lease_until": None}
        if crashed:
            crash_loop = and_(TASK.c.kind != str(TaskKind.RUN), CRASHES >= QUARANTINE_AFTER_CRASHES)
            freed |= {"crashes": CRASHES, "not_before": self._db.clock + case((crash_loop, CRASH_DELAY_MS), else_=0)}
        else:
            freed |= {"suspect": None}
        async with self._db.write(work=True) as connection:
            result = await connection.execute(statement.values(freed))
        return result.rowcount
