"""The states of a batch, and which may follow which.

    VALIDATING ──▶ IN_PROGRESS ──▶ FINALIZING ──▶ COMPLETED | EXPIRED
        │  │            │
        │  └────────────┴────▶ CANCELLING ──▶ CANCELLED
        ├──▶ FINALIZING (time over before validation ended)
        └──▶ FAILED

The store writes a state only as a compare-and-set along `TRANSITIONS`.
"""

from __future__ import annotations

from enum import StrEnum


class BatchStatus(StrEnum):
    """Where a batch stands; the words are OpenAI's."""

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
"""The timestamp that entering a state sets."""


def predecessors(status: BatchStatus) -> frozenset[BatchStatus]:
    """Returns the states from which `status` may be entered."""
    return frozenset(before for before, following in TRANSITIONS.items() if status in following)


def outcome(status: BatchStatus, unrun_lines: int, *, validated: bool) -> BatchStatus:
    """Decides how a batch ends, once nothing of it runs any more.

    Args:
        status: FINALIZING or CANCELLING.
        unrun_lines: lines that never got an answer.
        validated: whether its lines were ever counted; without that, nothing can have completed.
    """
    if status is _S.CANCELLING:
        return _S.CANCELLED
    return _S.COMPLETED if validated and not unrun_lines else _S.EXPIRED
