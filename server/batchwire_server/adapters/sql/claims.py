"""The statements of a claim, each built once: building one takes longer than running it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from batchwire_server.adapters.sql.tables import BIG, TASK
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES
from batchwire_server.core.records import TaskKind


def _written(word: str) -> ColumnElement[str]:
    """Writes a word of ours into a statement: of a value that is sent apart, a database cannot tell whether an index over some rows has all that are asked for."""
    return literal_column(f"'{word}'")


READY = _written("ready")
LEASED = _written("leased")
RUN = _written(TaskKind.RUN)

# A lease that has run out was held by somebody who has ended, or stands still.
CRASHES = TASK.c.crashes + case((TASK.c.state == LEASED, 1), else_=0)

IS_SHARD = TASK.c.kind == RUN
IS_APART = and_(IS_SHARD, CRASHES >= QUARANTINE_AFTER_CRASHES)

Statement = TypeVar("Statement", Select[Any], ReturningUpdate[Any])


class ClaimStatements:
    """The statements of a claim, by what they have to look at.

    Args:
        clock: the database's clock, in milliseconds since the epoch.
    """

    def __init__(self, clock: ColumnElement[int]) -> None:
        self._clock = clock
        self._lapsed = and_(TASK.c.state == LEASED, TASK.c.lease_until <= bindparam("expired_before", type_=BIG))
        self._ready = and_(TASK.c.state == READY, TASK.c.not_before <= clock)
        self._made: dict[Hashable, Any] = {}

    def others(self, kinds: Collection[TaskKind], *, lapsed: bool) -> ReturningUpdate[Any]:
        """Takes what is no shard. Parameters: those of `_take`; `expired_before` where `lapsed`."""
        names = sorted(kinds)
        wanted = (~IS_SHARD, TASK.c.kind.in_([_written(kind) for kind in names]))
        return self._once(
            ("others", *names, lapsed), lambda: self._take(*wanted, self._lapsed if lapsed else self._ready)
        )

    def shards(self, *, lapsed: bool, quarantined: bool, but_models: bool, but_saturated: bool) -> ReturningUpdate[Any]:
        """Takes shards. Parameters: those of `_take`; `expired_before` where `lapsed`, `of_tenant` and `of_model` otherwise; `full_models` and `fed` where there are any."""

        def made() -> ReturningUpdate[Any]:
            wanted = [IS_SHARD, IS_APART if quarantined else ~IS_APART]
            if but_models:
                wanted.append(TASK.c.model.not_in(bindparam("full_models", expanding=True)))
            if but_saturated:
                wanted.append(tuple_(TASK.c.model, TASK.c.tenant).not_in(bindparam("saturated", expanding=True)))
            if lapsed:
                wanted.append(self._lapsed)
            else:
                wanted += [self._ready, TASK.c.tenant == bindparam("of_tenant"), TASK.c.model == bindparam("of_model")]
            return self._take(*wanted)

        return self._once(("shards", lapsed, quarantined, but_models, but_saturated), made)

    def groups(self) -> Select[Any]:
        """Selects tenants and models with shards that are ready: the tenant with the fewest shards at work first, then whoever has the least time."""

        def made() -> Select[Any]:
            group = _ready_groups()
            held = (
                select(TASK.c.tenant, func.count().label("shards"))
                .where(TASK.c.state == LEASED, IS_SHARD, TASK.c.lease_until > self._clock)
                .group_by(TASK.c.tenant)
                .subquery()
            )
            mine = (TASK.c.tenant == group.c.tenant, TASK.c.model == group.c.model)
            soonest = select(func.min(TASK.c.deadline)).where(IS_SHARD, TASK.c.state == READY, *mine).scalar_subquery()
            return (
                select(group.c.tenant, group.c.model)
                .outerjoin(held, held.c.tenant == group.c.tenant)
                .where(group.c.tenant.is_not(None))
                .order_by(func.coalesce(held.c.shards, 0), soonest, group.c.tenant, group.c.model)
            )

        return self._once("groups", made)

    def _once(self, shape: Hashable, make: Callable[[], Statement]) -> Statement:
        if shape not in self._made:
            self._made[shape] = make()
        statement: Statement = self._made[shape]
        return statement

    def _take(self, *wanted: ColumnElement[bool]) -> ReturningUpdate[Any]:
        """Leases the tasks that have the least time, of those that are wanted and that nobody else is just about to take.

        Parameters: `worker`, `lease_ms`, `most`.
        """
        query = (
            select(TASK.c.id)
            .where(*wanted)
            .order_by(TASK.c.deadline.nulls_last(), TASK.c.id)
            .limit(bindparam("most", type_=Integer))
            .with_for_update(skip_locked=True)
        )
        return (
            update(TASK)
            # Evaluated once: as a mere subquery PostgreSQL may run it again, and lock more than it takes.
            .where(TASK.c.id.in_(select(query.cte("due").c.id)))
            .values(
                state="leased",
                lease_owner=bindparam("worker"),
                lease_until=self._clock + bindparam("lease_ms", type_=BIG),
                epoch=TASK.c.epoch + 1,
                attempts=TASK.c.attempts + 1,
                crashes=CRASHES,
            )
            .returning(TASK, self._clock.label("now"))
        )


@lru_cache(maxsize=8)
def claim_statements(clock: ColumnElement[int]) -> ClaimStatements:
    """Returns the statements of a database with this clock."""
    return ClaimStatements(clock)


def _groups(table: FromClause, *wanted: ColumnElement[bool]) -> Select[Any]:
    """Selects tenant and model of the first shard that is ready, by these two."""
    shards = (table.c.kind == RUN, table.c.state == READY)
    return (
        select(table.c.tenant, table.c.model).where(*shards, *wanted).order_by(table.c.tenant, table.c.model).limit(1)
    )


def _ready_groups() -> CTE:
    """Selects each tenant and model of shards that are ready, by steps from one to the next: what it costs grows with these, and not with the shards."""
    first = _groups(TASK.alias("first"))
    found = select(
        *(first.with_only_columns(column).scalar_subquery().label(column.name) for column in first.selected_columns)
    ).cte("ready_group", recursive=True)
    after = TASK.alias("after")
    following = _groups(after, tuple_(after.c.tenant, after.c.model) > tuple_(found.c.tenant, found.c.model))
    step = (following.with_only_columns(column).scalar_subquery() for column in following.selected_columns)
    return found.union_all(select(*step).select_from(found).where(found.c.tenant.is_not(None)))
