"""The queue in SQL: claim, lease, fence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Row,
    Select,
    Update,
    and_,
    case,
    delete,
    distinct,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.rows import task_record
from batchwire_server.adapters.sql.tables import BATCH, TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import CRASH_DELAY_MS, SET_ASIDE_AFTER, SOON, Held
from batchwire_server.core.records import Task, TaskKind

# Written into the statements: of a value that is sent apart, a database cannot tell whether an index over some rows has all that are asked for.
READY: ColumnElement[str] = literal_column("'ready'")
LEASED: ColumnElement[str] = literal_column("'leased'")
RUN: ColumnElement[str] = literal_column(f"'{TaskKind.RUN}'")

# A lease that has run out was held by somebody who has ended, or stands still.
CRASHES = TASK.c.crashes + case((TASK.c.state == LEASED, 1), else_=0)

IS_SHARD = TASK.c.kind == RUN
IS_APART = and_(IS_SHARD, CRASHES >= SET_ASIDE_AFTER)


def fenced(task: Task | Held) -> Update:
    """Starts an update of a task that touches no row once its epoch has moved on."""
    return update(TASK).where(TASK.c.id == task.id, TASK.c.epoch == task.epoch, TASK.c.state == LEASED)


async def end_task(connection: AsyncConnection, task: Task) -> None:
    """Marks a task as done. Raises LeaseLostError."""
    if not (await connection.execute(fenced(task).values(state="done", lease_owner=None, lease_until=None))).rowcount:
        raise LeaseLostError


def _groups(table: FromClause, *wanted: ColumnElement[bool]) -> Select[Any]:
    """Selects tenant and model of the first shard that is ready, by these two."""
    shards = (table.c.kind == RUN, table.c.state == READY)
    return (
        select(table.c.tenant, table.c.model).where(*shards, *wanted).order_by(table.c.tenant, table.c.model).limit(1)
    )


def ready_groups() -> CTE:
    """Selects each tenant and model of shards that are ready, by steps from one to the next: what it costs grows with these, and not with the shards."""
    first = _groups(TASK.alias("first"))
    found = select(
        *(first.with_only_columns(column).scalar_subquery().label(column.name) for column in first.selected_columns)
    ).cte("ready_group", recursive=True)
    after = TASK.alias("after")
    following = _groups(after, tuple_(after.c.tenant, after.c.model) > tuple_(found.c.tenant, found.c.model))
    step = (following.with_only_columns(column).scalar_subquery() for column in following.selected_columns)
    return found.union_all(select(*step).select_from(found).where(found.c.tenant.is_not(None)))


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
        take = partial(self._take, worker, ttl=ttl)
        clock = self._db.clock
        others = [str(kind) for kind in kinds if kind is not TaskKind.RUN]
        ready = and_(TASK.c.state == READY, TASK.c.not_before <= clock)
        lapsed = and_(
            TASK.c.state == LEASED, TASK.c.lease_until <= (clock if expired_before is None else expired_before)
        )
        fit = [IS_SHARD, IS_APART if set_aside else ~IS_APART]
        if full_models:
            fit.append(TASK.c.model.not_in(list(full_models)))
        if fed:
            fit.append(tuple_(TASK.c.model, TASK.c.tenant).not_in(list(fed)))
        async with self._db.write(quiet=True) as connection:
            rows: list[Row[Any]] = []
            if others and not set_aside:
                for state in (lapsed, ready):
                    rows += await take(connection, limit - len(rows), TASK.c.kind.in_(others), ~IS_SHARD, state)
            if TaskKind.RUN in kinds:
                rows += await take(connection, limit - len(rows), *fit, lapsed)
                for tenant, model in (
                    await self._groups_by_urgency(connection, full_models, fed) if len(rows) < limit else ()
                ):
                    group = (TASK.c.tenant == tenant, TASK.c.model == model)
                    rows += await take(connection, limit - len(rows), *fit, ready, *group)
        return sorted((task_record(row, row.now) for row in rows), key=lambda task: task.id)

    async def _take(
        self, worker: str, connection: AsyncConnection, limit: int, *wanted: ColumnElement[bool], ttl: float
    ) -> Sequence[Row[Any]]:
        """Leases the tasks that have the least time, of those that are wanted and that nobody else is just about to take."""
        if limit <= 0:
            return ()
        clock = self._db.clock
        query = (
            select(TASK.c.id)
            .where(*wanted)
            .order_by(TASK.c.deadline.nulls_last(), TASK.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
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
        rows: Sequence[Row[Any]] = (await connection.execute(lease)).all()
        return rows

    async def _groups_by_urgency(
        self, connection: AsyncConnection, full_models: Collection[str], fed: Collection[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """Returns tenants and models with shards that are ready: the tenant with the fewest shards at work first, then whoever has the least time."""
        group = ready_groups()
        held = (
            select(TASK.c.tenant, func.count().label("shards"))
            .where(TASK.c.state == LEASED, IS_SHARD, TASK.c.lease_until > self._db.clock)
            .group_by(TASK.c.tenant)
            .subquery()
        )
        mine = (TASK.c.tenant == group.c.tenant, TASK.c.model == group.c.model)
        soonest = select(func.min(TASK.c.deadline)).where(IS_SHARD, TASK.c.state == READY, *mine).scalar_subquery()
        query = (
            select(group.c.tenant, group.c.model)
            .outerjoin(held, held.c.tenant == group.c.tenant)
            .where(group.c.tenant.is_not(None), group.c.model.not_in(list(full_models)))
            .order_by(func.coalesce(held.c.shards, 0), soonest, group.c.tenant, group.c.model)
        )
        rows = await connection.execute(query)
        return [(row.tenant, row.model) for row in rows if (row.model, row.tenant) not in fed]

    async def set_aside_waits(self) -> bool:
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
        kinds = [str(kind) for kind in SOON]
        due = TASK.c.not_before <= self._db.clock - int(seconds * 1000)
        query = select(TASK.c.id).where(TASK.c.kind.in_(kinds), ~IS_SHARD, TASK.c.state == READY, due)
        async with self._db.read() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def suspect(self, task: Task, line: int | None) -> None:
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

    async def held(self, worker: str) -> list[Held]:
        """See TaskQueue."""
        query = (
            select(TASK.c.id, TASK.c.epoch, BATCH.c.status)
            .outerjoin(BATCH, BATCH.c.id == TASK.c.batch_id)
            .where(TASK.c.lease_owner == worker, TASK.c.state == LEASED)
        )
        async with self._db.read() as connection:
            return [
                Held(row.id, row.epoch, BatchStatus(row.status) if row.status else None)
                for row in await connection.execute(query)
            ]

    async def release(self, task: Task | Held, delay: float = 0.0) -> None:
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
            often = and_(TASK.c.kind != str(TaskKind.RUN), CRASHES >= SET_ASIDE_AFTER)
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
