"""The statuses of a batch and their transitions."""

from __future__ import annotations

from dataclasses import fields

import pytest
from batchwire_server.core.lifecycle import STAMPS, TERMINAL, TRANSITIONS, BatchStatus, outcome, predecessors
from batchwire_server.core.records import Batch

S = BatchStatus


def test_statuses_are_openais_words() -> None:
    assert {str(status) for status in S} == {
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    }


def test_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(S)


def test_the_transitions_are_those_of_the_contract() -> None:
    assert {(before, after) for before, following in TRANSITIONS.items() for after in following} == {
        (S.VALIDATING, S.FAILED),
        (S.VALIDATING, S.IN_PROGRESS),
        (S.VALIDATING, S.CANCELLING),
        (S.VALIDATING, S.FINALIZING),  # the window ended before validation
        (S.IN_PROGRESS, S.FINALIZING),
        (S.IN_PROGRESS, S.CANCELLING),
        (S.FINALIZING, S.COMPLETED),
        (S.FINALIZING, S.EXPIRED),
        (S.CANCELLING, S.CANCELLED),
    }


def test_the_terminal_statuses_are_completed_failed_expired_and_cancelled() -> None:
    assert {S.COMPLETED, S.FAILED, S.EXPIRED, S.CANCELLED} == TERMINAL


@pytest.mark.parametrize("status", S)
def test_predecessors_are_the_reversed_transitions(status: BatchStatus) -> None:
    assert predecessors(status) == {before for before in S if status in TRANSITIONS[before]}


def test_every_status_is_reached_from_validating_and_reaches_a_terminal_one() -> None:
    def reached(start: BatchStatus) -> set[BatchStatus]:
        found = {start}
        for status in TRANSITIONS[start]:
            found |= reached(status)  # the table has no cycle, so this ends
        return found

    assert reached(S.VALIDATING) == set(S)
    for status in S:
        assert reached(status) & TERMINAL


def test_every_status_but_the_first_has_a_timestamp_in_the_batch() -> None:
    assert set(STAMPS) == set(S) - {S.VALIDATING}
    assert set(STAMPS.values()) <= {field.name for field in fields(Batch)}
    assert len(set(STAMPS.values())) == len(STAMPS)


@pytest.mark.parametrize(
    ("status", "unrun", "validated", "end"),
    [
        (S.CANCELLING, 0, True, S.CANCELLED),
        (S.CANCELLING, 3, True, S.CANCELLED),
        (S.CANCELLING, 0, False, S.CANCELLED),
        (S.FINALIZING, 0, True, S.COMPLETED),
        (S.FINALIZING, 3, True, S.EXPIRED),
        (S.FINALIZING, 0, False, S.EXPIRED),
    ],
)
def test_the_terminal_status_of_a_batch(status: BatchStatus, unrun: int, validated: bool, end: BatchStatus) -> None:
    assert outcome(status, unrun, validated=validated) is end
    assert end in TRANSITIONS[status]
