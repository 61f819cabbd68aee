"""The states of a line, and the transitions between them."""

from __future__ import annotations

import itertools

import pytest
from batchwire_server.core.scheduling import line_states
from batchwire_server.core.scheduling.line_states import TERMINAL, TRANSITIONS, LineState

S = LineState
ALLOWED = {
    (S.WAITING, S.IN_FLIGHT),  # start
    (S.IN_FLIGHT, S.FINISHED),  # finish
    (S.IN_FLIGHT, S.WAITING),  # requeue
    (S.IN_FLIGHT, S.DELAYED),  # delay
    (S.DELAYED, S.WAITING),  # wake
    (S.WAITING, S.CANCELLED),  # discard
    (S.DELAYED, S.CANCELLED),  # discard
    (S.IN_FLIGHT, S.CANCELLED),  # finish, after an abort
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(LineState, LineState)))
def test_each_transition_is_allowed_or_refused(before: LineState, after: LineState) -> None:
    assert (after in TRANSITIONS[before]) == ((before, after) in ALLOWED)


def test_a_line_is_finished_at_most_once() -> None:
    assert {S.FINISHED, S.CANCELLED} == TERMINAL


def test_every_state_can_be_reached_from_waiting() -> None:
    reached = {S.WAITING}
    while following := set().union(*(TRANSITIONS[state] for state in reached)) - reached:
        reached |= following
    assert reached == set(LineState)


@pytest.mark.parametrize("state", LineState)
def test_the_diagram_shows_every_state(state: LineState) -> None:
    assert state.name in (line_states.__doc__ or "")
