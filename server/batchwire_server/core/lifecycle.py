"""The statuses of a batch and their transitions.

    VALIDATING ──▶ IN_PROGRESS ──▶ FINALIZING ──▶ COMPLETED | EXPIRED
        │  │            │
        │  └────────────┴────▶ CANCELLING ──▶ CANCELLED
        ├──▶ FINALIZING (the window ends before validation does)
        └──▶ FAILED

The store changes a status only along `TRANSITIONS`, by compare-and-set.
"""

from __future__ import annotations

from enum import StrEnum


class BatchStatus(StrEnum):
    """The status of a batch, in OpenAI's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


_S = BatchStatus

TRANSITIONS: dict[BatchStatus, frozenset[BatchStatus]] = {
    _S.VALIDATING: frozenset({_S.IN_PROGRESS, _S.FAILED, _S.FINALIZING, _S.CANCELLING}),
    _S.IN_PROGRESS: frozenset({_S.FINALIZING, _S.CANCELLING}),
    _S.FINALIZING: frozenset({_S.COMPLETED, _S.EXPIRED}),
    _S.CANCELLING: frozenset({_S.CANCELLED}),
    _S.FAILED: frozenset(),
    _S.COMPLETED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.CANCELLED: frozenset(),
}

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)

STAMPS: dict[BatchStatus, str] = {status: f"{status}_at" for status in BatchStatus if status is not _S.VALIDATING}
"""The timestamp that a transition sets, by the new status."""

END_STAMPS = tuple(STAMPS[status] for status in BatchStatus if status in TERMINAL)
"""The timestamps of the terminal states, one of which an ended batch has."""


def predecessors(status: BatchStatus) -> frozenset[BatchStatus]:
    """Return the statuses from which a batch may move to `status`."""
    return frozenset(before for before, following in TRANSITIONS.items() if status in following)


def outcome(status: BatchStatus, unrun_lines: int, *, validated: bool) -> BatchStatus:
    """Return the terminal status of a batch of which nothing runs any more.

    Args:
        status: FINALIZING or CANCELLING.
        unrun_lines: the number of lines that never ran.
        validated: whether its lines were counted. If not, the batch cannot be completed.
    """
    if status is _S.CANCELLING:
        return _S.CANCELLED
    return _S.COMPLETED if validated and not unrun_lines else _S.EXPIRED
