"""Pacing, at times that the tests pass."""

from __future__ import annotations

import pytest
from batchwire_server.core.scheduling.pacing import BYTES_PER_TOKEN, Bucket, Pacing


def calls_within(pacing: Pacing, begin: float, seconds: float, tokens: int = 0) -> int:
    """Make calls as soon as they are allowed, each of no duration. Return how many."""
    now, made = begin, 0
    while (now := now + pacing.wait(now)) < begin + seconds:
        pacing.end(pacing.start(40, now), tokens, now)
        made += 1
    return made


@pytest.mark.parametrize("per_minute", [1, 30, 600, 60_000])
def test_a_minute_allows_its_calls_and_one_burst(per_minute: int) -> None:
    pacing = Pacing(per_minute, 0, 0.0)
    saved = max(1, per_minute // 60)
    assert calls_within(pacing, 0.0, 60.0) in (per_minute + saved - 1, per_minute + saved)
    assert calls_within(pacing, 60.0, 60.0) == pytest.approx(per_minute, abs=1)


def test_a_burst_is_at_most_a_second_of_the_rate() -> None:
    pacing = Pacing(600, 0, 0.0)
    assert pacing.room(100, 3600.0) == 10
    assert pacing.room(3, 3600.0) == 3


def test_calls_are_spread_over_the_minute() -> None:
    pacing = Pacing(60, 0, 0.0)
    pacing.start(0, 0.0)
    assert pacing.wait(0.0) == pytest.approx(1.0)
    assert pacing.wait(0.75) == pytest.approx(0.25)
    assert pacing.room(5, 0.75) == 0
    assert pacing.wait(1.0) == 0.0


@pytest.mark.parametrize("tokens", [10, 100, 5000])
def test_the_reported_usage_counts_against_the_tokens_per_minute(tokens: int) -> None:
    pacing = Pacing(0, 60_000, 0.0)
    calls_within(pacing, 0.0, 60.0, tokens)
    made = calls_within(pacing, 60.0, 60.0, tokens)
    assert made * tokens == pytest.approx(60_000, abs=tokens + 1000)


def test_a_call_larger_than_the_bucket_is_made_and_overdraws_it() -> None:
    pacing = Pacing(0, 600, 0.0)  # ten a second
    pacing.end(pacing.start(0, 0.0), 110, 0.0)
    assert pacing.wait(0.0) == pytest.approx(11.0)


def test_before_the_first_answer_a_call_counts_with_an_estimate() -> None:
    pacing = Pacing(0, 6000, 0.0)
    expected = pacing.start(100 * BYTES_PER_TOKEN, 0.0)
    assert expected == 100
    assert pacing.wait(0.0) > 0
    pacing.end(expected, 1, 0.0)
    assert pacing.wait(0.0) == 0.0


def test_a_call_without_an_answer_uses_no_tokens() -> None:
    pacing = Pacing(0, 6000, 0.0)
    pacing.end(pacing.start(4000, 0.0), 0, 0.0)
    assert pacing.wait(0.0) == 0.0


@pytest.mark.parametrize("workers", [2, 3, 10])
def test_workers_divide_the_rates(workers: int) -> None:
    parts = [Pacing(600, 0, 0.0) for _ in range(workers)]
    for part in parts:
        part.share(workers, 0.0)
        calls_within(part, 0.0, 60.0)
    assert sum(calls_within(part, 60.0, 60.0) for part in parts) == pytest.approx(600, abs=workers)


def test_a_part_grows_again_when_workers_end() -> None:
    pacing = Pacing(600, 0, 0.0)
    pacing.share(10, 0.0)
    calls_within(pacing, 0.0, 10.0)
    pacing.share(1, 10.0)
    assert calls_within(pacing, 10.0, 60.0) == pytest.approx(600, abs=2)


def test_a_bucket_does_not_fill_while_the_clock_stands_still() -> None:
    bucket = Bucket(60, 5.0)
    bucket.spend(1, 5.0)
    assert bucket.wait(1, 5.0) == bucket.wait(1, 5.0) == pytest.approx(1.0)
