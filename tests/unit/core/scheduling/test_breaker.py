"""The circuit breaker, at times that the tests pass."""

from __future__ import annotations

import pytest
from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.breaker import (
    FAILURES_IN_A_ROW,
    MAX_OPEN_S,
    BreakerState,
    CircuitBreaker,
)

REFUSED, BROKEN, TIMEOUT = (
    NoReply(kind, "") for kind in (NoReplyKind.UNREACHABLE, NoReplyKind.BROKEN, NoReplyKind.TIMEOUT)
)
BAD_GATEWAY, ERROR = Reply(502, b"{}"), Reply(500, b"{}")


def breaker() -> CircuitBreaker:
    return CircuitBreaker(0.5, 60.0)


def verdicts(made: CircuitBreaker, result: Reply | NoReply, count: int, *, alternatives: bool = False) -> list[bool]:
    """Return what the breaker says of the same failure several times in a row."""
    return [made.failed(result, alternatives=alternatives) for _ in range(count)]


def test_it_begins_closed() -> None:
    assert breaker().state(0.0) is BreakerState.CLOSED
    assert not breaker().tripped


def test_a_trip_opens_it_and_the_end_of_the_delay_half_opens_it() -> None:
    made = breaker()
    assert made.trip(100.0) == 0.5
    assert made.tripped
    assert made.state(100.49) is BreakerState.OPEN
    assert made.state(100.5) is BreakerState.HALF_OPEN
    assert made.tripped


def test_each_trip_doubles_the_delay_up_to_the_longest() -> None:
    made = breaker()
    assert [made.trip(0.0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, MAX_OPEN_S, MAX_OPEN_S]
    assert {made.trip(0.0) for _ in range(10_000)} == {MAX_OPEN_S}


def test_the_policys_cap_bounds_the_delay_too() -> None:
    made = CircuitBreaker(0.5, 1.0)
    assert [made.trip(0.0) for _ in range(3)] == [0.5, 1.0, 1.0]


def test_an_answer_closes_it_and_resets_the_delay() -> None:
    made = breaker()
    made.trip(0.0)
    made.trip(1.0)
    assert made.succeeded()
    assert made.state(1.0) is BreakerState.CLOSED
    assert made.trip(2.0) == 0.5


def test_an_answer_while_closed_changes_nothing() -> None:
    assert not breaker().succeeded()


def test_a_refused_connection_always_shows_that_the_upstream_is_down() -> None:
    assert verdicts(breaker(), REFUSED, 1) == [True]


@pytest.mark.parametrize("result", [BAD_GATEWAY, Reply(503, b"{}"), Reply(504, b"{}"), BROKEN])
def test_the_failures_of_a_gateway_count_after_many_in_a_row(result: Reply | NoReply) -> None:
    assert verdicts(breaker(), result, FAILURES_IN_A_ROW + 2) == [*[False] * FAILURES_IN_A_ROW, True, True]


@pytest.mark.parametrize("result", [ERROR, TIMEOUT])
def test_other_failures_count_only_where_another_upstream_serves_the_model(result: Reply | NoReply) -> None:
    many = FAILURES_IN_A_ROW + 1
    assert not any(verdicts(breaker(), result, many))
    assert verdicts(breaker(), result, many, alternatives=True)[-1]


@pytest.mark.parametrize("status", [500, 503])
def test_a_response_with_retry_after_never_shows_that_the_upstream_is_down(status: int) -> None:
    result = Reply(status, b"{}", retry_after=1.0)
    assert not any(verdicts(breaker(), result, 3 * FAILURES_IN_A_ROW, alternatives=True))


def test_an_answer_interrupts_the_row_of_failures() -> None:
    made = breaker()
    verdicts(made, BAD_GATEWAY, FAILURES_IN_A_ROW)
    made.succeeded()
    assert verdicts(made, BAD_GATEWAY, 1) == [False]


def test_a_failure_of_the_probe_that_does_not_show_it_down_closes_it() -> None:
    made = breaker()
    made.failed(REFUSED, alternatives=False)
    made.trip(0.0)
    assert verdicts(made, ERROR, 1) == [False]
    assert made.state(0.0) is BreakerState.CLOSED


def test_a_refused_probe_leaves_it_tripped() -> None:
    made = breaker()
    made.failed(REFUSED, alternatives=False)
    made.trip(0.0)
    assert verdicts(made, REFUSED, 1) == [True]
    assert made.tripped
