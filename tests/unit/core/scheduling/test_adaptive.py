"""The adaptive limit: growth with successes, halving with pushbacks."""

from __future__ import annotations

from batchwire_server.core.scheduling.adaptive import AdaptiveLimit
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_limit_is_bounded_by_the_cap() -> None:
    assert AdaptiveLimit(16, 256).value == 16
    assert AdaptiveLimit(16, 4).value == 4
    assert AdaptiveLimit(16, 0).value == 1


def test_the_limit_doubles_per_round_before_the_first_pushback() -> None:
    limit = AdaptiveLimit(16, 256)
    for _ in range(16):
        limit.succeeded(limit.value)
    assert limit.value == 32


def test_the_limit_grows_by_one_per_round_after_a_pushback() -> None:
    limit = AdaptiveLimit(16, 256)
    limit.pushed_back(limit.era)
    for _ in range(9):
        limit.succeeded(limit.value)
    assert limit.value == 9


def test_successes_of_an_idle_lane_do_not_raise_the_limit() -> None:
    limit = AdaptiveLimit(16, 256)
    for _ in range(100):
        limit.succeeded(12)
    assert limit.value == 16


def test_one_overload_halves_the_limit_once() -> None:
    limit = AdaptiveLimit(16, 256)
    era = limit.era
    for _ in range(16):
        limit.pushed_back(era)
    assert limit.value == 8


def test_each_new_overload_halves_the_limit_down_to_one() -> None:
    limit = AdaptiveLimit(16, 256)
    values = []
    for _ in range(6):
        limit.pushed_back(limit.era)
        values.append(limit.value)
    assert values == [8, 4, 2, 1, 1, 1]


def test_a_lower_cap_lowers_the_limit() -> None:
    limit = AdaptiveLimit(64, 256)
    limit.cap = 8
    assert limit.value == 8
    limit.pushed_back(limit.era)
    assert limit.value == 4


@given(st.integers(1, 300), st.integers(-3, 300), st.lists(st.tuples(st.booleans(), st.integers(1, 300)), max_size=60))
def test_the_limit_stays_between_one_and_the_cap(start: int, cap: int, events: list[tuple[bool, int]]) -> None:
    limit = AdaptiveLimit(start, cap)
    for success, in_flight in events:
        if success:
            limit.succeeded(in_flight)
        else:
            limit.pushed_back(limit.era)
        assert 1 <= limit.value <= max(1, cap)
