"""The statements of a claim.

Each is built once, because building one takes longer than running it.
"""

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


def _inline(constant: str) -> ColumnElement[str]:
    """Inline a constant.

    The planner can use a partial index only if the value is known at planning time, not if it is a
    bound parameter.
    """
    return literal_column(f"'{constant}'")


READY = _inline("ready")
LEASED = _inline("leased")
RUN = _inline(TaskKind.RUN)

# A holder whose lease expired has crashed or hangs.
CRASHES = TASK.c.crashes + case((TASK.c.state == LEASED, 1), else_=0)

IS_SHARD = TASK.c.kind == RUN
IS_QUARANTINED = and_(IS_SHARD, CRASHES >= QUARANTINE_AFTER_CRASHES)

Statement = TypeVar("Statement", Select[Any], ReturningUpdate[Any])


class ClaimStatements:
    """The statements of a claim.

    The statements that lease have the parameters `worker`, `lease_ms` and `most` (the largest
    number of tasks). Each method names its others.

    Args:
        clock: the database's clock, in milliseconds since the epoch.
    """

    def __init__(self, clock: ColumnElement[int]) -> None:
        self._clock = clock
        self._expired = and_(TASK.c.state == LEASED, TASK.c.lease_until <= bindparam("expired_before", type_=BIG))
        self._ready = and_(TASK.c.state == READY, TASK.c.not_before <= clock)
        self._cache: dict[Hashable, Any] = {}

    def other_kinds(self, kinds: Collection[TaskKind], *, expired: bool) -> ReturningUpdate[Any]:
        """Return a statement that leases tasks of kinds other than shards.

        Parameters: `expired_before`, if `expired`.
        """
        names = sorted(kinds)
        wanted = (~IS_SHARD, TASK.c.kind.in_([_inline(kind) for kind in names]))
        return self._cached(
            ("other kinds", *names, expired), lambda: self._lease(*wanted, self._expired if expired else self._ready)
        )

    def shards(
        self, *, expired: bool, quarantined: bool, skip_full: bool, skip_saturated: bool
    ) -> ReturningUpdate[Any]:
        """Return a statement that leases shards.

        Parameters: `expired_before` if `expired`, else `of_tenant` and `of_model`; `full_models` if
        `skip_full`; `saturated` if `skip_saturated`.
        """

        def build() -> ReturningUpdate[Any]:
            wanted = [IS_SHARD, IS_QUARANTINED if quarantined else ~IS_QUARANTINED]
            if skip_full:
                wanted.append(TASK.c.model.not_in(bindparam("full_models", expanding=True)))
            if skip_saturated:
                wanted.append(tuple_(TASK.c.model, TASK.c.tenant).not_in(bindparam("saturated", expanding=True)))
            if expired:
                wanted.append(self._expired)
            else:
                wanted += [self._ready, TASK.c.tenant == bindparam("of_tenant"), TASK.c.model == bindparam("of_model")]
            return self._lease(*wanted)

        return self._cached(("shards", expired, quarantined, skip_full, skip_saturated), build)

    def ready_pairs(self) -> Select[Any]:
        """Return a query for the distinct (tenant, model) pairs of ready shards, most urgent first.

        The tenant with the fewest leased shards comes first, then the earliest deadline.
        """

        def build() -> Select[Any]:
            pair = _distinct_pairs()
            leased = (
                select(TASK.c.tenant, func.count().label("shards"))
                .where(TASK.c.state == LEASED, IS_SHARD, TASK.c.lease_until > self._clock)
                .group_by(TASK.c.tenant)
                .subquery()
            )
            of_pair = (TASK.c.tenant == pair.c.tenant, TASK.c.model == pair.c.model)
            deadline = (
                select(func.min(TASK.c.deadline)).where(IS_SHARD, TASK.c.state == READY, *of_pair).scalar_subquery()
            )
            return (
                select(pair.c.tenant, pair.c.model)
                .outerjoin(leased, leased.c.tenant == pair.c.tenant)
                .where(pair.c.tenant.is_not(None))
                .order_by(func.coalesce(leased.c.shards, 0), deadline, pair.c.tenant, pair.c.model)
            )

        return self._cached("ready pairs", build)

    def _cached(self, key: Hashable, build: Callable[[], Statement]) -> Statement:
        if key not in self._cache:
            self._cache[key] = build()
        statement: Statement = self._cache[key]
        return statement

    def _lease(self, *wanted: ColumnElement[bool]) -> ReturningUpdate[Any]:
        """Return a statement that leases the wanted tasks with the earliest deadlines.

        Tasks that another transaction has locked are skipped.
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
            # A CTE runs once. PostgreSQL may run a plain subquery again, which locks more rows than
            # it leases.
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
    """Return the statements for a database with this clock."""
    return ClaimStatements(clock)


def _first_pair(table: FromClause, *wanted: ColumnElement[bool]) -> Select[Any]:
    """Return a query for the first (tenant, model) pair of ready shards."""
    shards = (table.c.kind == RUN, table.c.state == READY)
    return (
        select(table.c.tenant, table.c.model).where(*shards, *wanted).order_by(table.c.tenant, table.c.model).limit(1)
    )


def _distinct_pairs() -> CTE:
    """Select the distinct (tenant, model) pairs of ready shards with a loose index scan.

    Its cost grows with the number of pairs, not of shards. The last row is NULL.
    """
    first = _first_pair(TASK.alias("first"))
    found = select(
        *(first.with_only_columns(column).scalar_subquery().label(column.name) for column in first.selected_columns)
    ).cte("ready_pair", recursive=True)
    after = TASK.alias("after")
    following = _first_pair(after, tuple_(after.c.tenant, after.c.model) > tuple_(found.c.tenant, found.c.model))
    step = (following.with_only_columns(column).scalar_subquery() for column in following.selected_columns)
    return found.union_all(select(*step).select_from(found).where(found.c.tenant.is_not(None)))
