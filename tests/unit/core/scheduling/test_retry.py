"""Whether a call is retried, and when."""

from __future__ import annotations

import pytest
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.retry import Retry, RetryPolicy, decide, is_retried
from hypothesis import given
from hypothesis import strategies as st

POLICY = RetryPolicy(max_attempts=3, base_s=0.5, cap_s=8.0)
UNREACHABLE, BROKEN, TIMEOUT = (
    NoReply(kind, "") for kind in (NoReplyKind.UNREACHABLE, NoReplyKind.BROKEN, NoReplyKind.TIMEOUT)
)


def retried(result: Reply | NoReply, attempts: int = 0, refusals: int = 0) -> Retry:
    decided = decide(result, attempts, refusals, POLICY)
    assert decided is not None
    return decided


@pytest.mark.parametrize("status", range(200, 600))
def test_408_409_425_429_and_5xx_are_retried_and_other_statuses_are_final(status: int) -> None:
    retried = status in {408, 409, 425, 429} or status >= 500
    assert is_retried(Reply(status, b"")) is retried
    assert (decide(Reply(status, b""), 0, 0, POLICY) is not None) is retried


@pytest.mark.parametrize("kind", NoReplyKind)
def test_a_call_without_a_reply_is_retried(kind: NoReplyKind) -> None:
    assert is_retried(NoReply(kind, ""))
    assert retried(NoReply(kind, "")).delay > 0


@pytest.mark.parametrize("result", [Reply(500, b""), Reply(503, b""), Reply(408, b""), BROKEN, TIMEOUT])
def test_accepted_calls_that_failed_count_until_the_attempts_run_out(result: Reply | NoReply) -> None:
    assert retried(result, attempts=0).counted
    assert retried(result, attempts=1).counted
    assert decide(result, 2, 0, POLICY) is None


@pytest.mark.parametrize("result", [Reply(429, b""), UNREACHABLE])
def test_refused_calls_never_count_and_are_retried_without_limit(result: Reply | NoReply) -> None:
    assert not retried(result, attempts=2, refusals=10_000).counted


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_with_a_429_or_503_pauses_the_lane(status: int) -> None:
    asked = retried(Reply(status, b"", retry_after=30.0))
    assert (asked.pushback, asked.pause) == (True, 30.0)
    assert asked.delay >= 30.0
    assert retried(Reply(status, b"")).pause == 0.0


def test_retry_after_with_other_failures_delays_only_the_line() -> None:
    asked = retried(Reply(500, b"", retry_after=30.0))
    assert (asked.pushback, asked.pause) == (False, 0.0)
    assert asked.delay >= 30.0


@given(st.integers(0, 1), st.integers(0, 1_000_000))
def test_delays_double_with_jitter_up_to_the_cap(attempts: int, refusals: int) -> None:
    delay = retried(Reply(500, b""), attempts, refusals).delay
    ceiling = min(POLICY.cap_s, POLICY.base_s * 2 ** min(attempts + refusals, 20))
    assert ceiling / 2 <= delay <= ceiling


def test_a_maximum_of_one_attempt_means_no_retry() -> None:
    assert decide(Reply(500, b""), 0, 0, RetryPolicy(max_attempts=1)) is None
