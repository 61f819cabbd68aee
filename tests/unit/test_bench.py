"""Unit tests of the benchmarks: distributions, rate limit, goals and charts."""

from __future__ import annotations

import random
import statistics

import pytest

from bench.distributions import RateLimit, distribution
from bench.plot import Chart, page
from bench.table import SQLITE, Measurement, Row, at_least, at_most, cells, result


@pytest.mark.parametrize("spec", ["constant:0.2", "uniform:0.1:0.3", "lognormal:0.2:1"])
def test_a_distribution_has_its_mean(spec: str) -> None:
    source = random.Random(1)
    drawn = [distribution(spec)(source) for _ in range(100_000)]
    assert statistics.mean(drawn) == pytest.approx(0.2, rel=0.02)


def test_the_log_normal_distribution_has_a_long_tail() -> None:
    source = random.Random(1)
    drawn = sorted(distribution("lognormal:0.2:1")(source) for _ in range(10_000))
    assert drawn[9900] > 5 * 0.2


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="known are constant, uniform, lognormal"):
        distribution("zipf:1")


def test_the_rate_limit_saves_up_one_second_of_calls() -> None:
    now = 0.0
    rate_limit = RateLimit(10, lambda: now)
    assert [rate_limit.allows() for _ in range(12)].count(True) == 10
    now = 0.5
    assert [rate_limit.allows() for _ in range(12)].count(True) == 5
    now = 100.0
    assert [rate_limit.allows() for _ in range(12)].count(True) == 10


@pytest.mark.parametrize(
    ("goal", "ours", "baseline", "met"),
    [
        (at_least(0.8), [90.0, 70.0, 95.0], [100.0, 100.0, 100.0], True),
        (at_least(0.8), [70.0, 70.0, 95.0], [100.0, 100.0, 100.0], False),
        (at_most(1.1), [1.2], [1.0], False),
        (at_most(100, "ms"), [90.0], [5.0], True),
        (at_most(100, "ms"), [190.0], [500.0], False),
    ],
)
def test_a_goal_bounds_the_median_ratio_or_the_value_with_a_unit(
    goal: object, ours: list[float], baseline: list[float], met: bool
) -> None:
    row = Row("r", {SQLITE: goal}, False, lambda _: Measurement([], ""))  # type: ignore[dict-item]  # a Goal, but parametrized as object
    assert result(row, SQLITE, Measurement(ours, "x", baseline))["met"] is met


def test_the_ratio_is_the_median_of_the_ratios_per_round() -> None:
    assert Measurement([10.0, 20.0, 90.0], "", [10.0, 40.0, 30.0]).ratio == 1.0


def test_a_failed_condition_fails_the_goal() -> None:
    row = Row("r", {SQLITE: at_least(0.5)}, False, lambda _: Measurement([], ""))
    found = result(row, SQLITE, Measurement([1.0], "", [1.0], met=False))
    assert cells(found)[-1] == "no"


def test_a_plot_shows_every_series() -> None:
    chart = Chart("t", "x", "y", logarithmic=True)
    for calls in (1, 4, 16):
        chart.add("ours", calls, calls * 10)
        chart.add("theirs", calls, calls * 20)
    drawn = page([chart, chart])
    assert drawn.count("<polyline") == 4
    assert "theirs" in drawn
