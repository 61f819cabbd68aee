"""How much a worker claims ahead, at times that the tests pass."""

from __future__ import annotations

import pytest
from batchwire_server.core.scheduling.demand import (
    BACKLOG_BYTES,
    BACKLOG_S,
    FIRST_SHARD_LINES,
    MEASURE_S,
    TENANTS_AT_ONCE,
    Demand,
)
from hypothesis import given
from hypothesis import strategies as st

SLOTS = 10


def measured(rate: float, line_bytes: int = 1) -> Demand:
    """Return the demand of a model that finishes a number of lines per second."""
    demand = Demand(100.0)
    demand.shard_added(50, 50 * line_bytes)
    demand.measure(int(rate * 10), 110.0)
    return demand


def test_without_a_measured_rate_the_demand_is_a_line_per_slot() -> None:
    demand = Demand(100.0)
    assert demand.low_water(SLOTS) == SLOTS
    assert demand.lines(SLOTS, 0) == SLOTS
    assert demand.lines(SLOTS, SLOTS - 1) == 1
    assert demand.lines(SLOTS, SLOTS) == 0


def test_the_backlog_is_refilled_to_its_full_size_once_half_of_the_work_ahead_is_left() -> None:
    demand = measured(1000.0)
    ahead = int(1000 * BACKLOG_S)
    assert demand.low_water(SLOTS) == SLOTS + ahead // 2
    assert demand.lines(SLOTS, SLOTS + ahead // 2) == 0
    assert demand.lines(SLOTS, SLOTS + ahead // 2 - 1) == ahead // 2 + 1
    assert demand.lines(SLOTS, 0) == SLOTS + ahead


def test_the_rate_is_that_of_the_lines_since_the_last_measurement() -> None:
    demand = measured(1000.0)
    demand.measure(10_000 + 100, 111.0)
    assert demand.low_water(0) == int(100 * BACKLOG_S / 2)


def test_a_measurement_that_took_no_time_changes_nothing() -> None:
    demand = measured(1000.0)
    demand.measure(20_000, 110.0)
    assert demand.low_water(0) == int(1000 * BACKLOG_S / 2)


def test_a_measurement_is_due_after_a_minimal_time() -> None:
    demand = measured(1000.0)
    demand.measure_if_due(20_000, 110.0 + MEASURE_S)
    assert demand.low_water(0) == int(1000 * BACKLOG_S / 2)
    demand.measure_if_due(10_000, 110.0 + 2 * MEASURE_S)
    assert demand.low_water(0) == 0


def test_the_bytes_of_the_work_ahead_are_bounded() -> None:
    demand = measured(1_000_000.0, line_bytes=BACKLOG_BYTES // 100)
    assert 98 <= demand.lines(0, 0) <= 100


@pytest.mark.parametrize(("lines", "shards"), [(3, 4), (10, 1), (11, 1)])
def test_shards_are_assumed_to_be_as_long_as_the_last(lines: int, shards: int) -> None:
    demand = Demand(100.0)
    demand.shard_added(lines, lines)
    assert demand.shards(SLOTS, 0) == shards
    assert demand.shards(SLOTS, SLOTS) == 0


def test_the_first_shard_is_assumed_to_have_many_lines() -> None:
    assert Demand(100.0).shards(FIRST_SHARD_LINES + 1, 0) == 2


@pytest.mark.parametrize(
    ("backlog", "ready", "tenants", "full"),
    [
        (0, 0, 0, False),
        (SLOTS, SLOTS, 1, False),
        (SLOTS, SLOTS, TENANTS_AT_ONCE - 1, False),
        (SLOTS, SLOTS, TENANTS_AT_ONCE, True),
        (SLOTS - 1, SLOTS - 1, TENANTS_AT_ONCE, False),
        (SLOTS, 0, 0, True),  # all are delayed: the upstream is down, and nobody's line would run
    ],
)
def test_a_model_is_full_when_even_a_new_tenant_would_have_to_wait(
    backlog: int, ready: int, tenants: int, *, full: bool
) -> None:
    assert Demand(100.0).full(SLOTS, backlog, ready=ready, tenants=tenants) is full


@given(st.integers(0, 300), st.integers(0, 100_000), st.floats(0, 1e6), st.integers(1, 10_000_000))
def test_demand_refills_the_backlog_and_then_is_satisfied(
    slots: int, backlog: int, rate: float, line_bytes: int
) -> None:
    demand = measured(rate, line_bytes)
    lines = demand.lines(slots, backlog)
    assert lines >= 0
    assert (lines > 0) == (backlog < demand.low_water(slots))
    assert demand.lines(slots, backlog + lines) == 0
