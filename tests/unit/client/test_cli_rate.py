from __future__ import annotations

import pytest
from batchwire_client._cli.rate import Rate, duration

from tests.unit.client.cli import Clock


def test_a_rate_is_measured_over_its_window() -> None:
    clock = Clock()
    rate = Rate(clock, window_s=30)
    rate.record(0)
    assert rate.per_second() is None
    for second in range(1, 101):
        clock.now = second
        rate.record(min(second, 50) + 10 * max(second - 50, 0))
    assert rate.per_second() == pytest.approx(10)
    assert rate.seconds_left(550 + 100) == pytest.approx(10)
    assert rate.seconds_left(None) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (42, "42s"), (185, "3m 05s"), (7620, "2h 07m")])
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
