"""The states of a line in a worker, and which may follow which.

                 ┌──── requeue ─────┐
                 ▼                  │
    load ──▶ WAITING ── start ──▶ IN_FLIGHT ── finish ──▶ FINISHED
              │  ▲                  │    │
              │  └─ wake ─ DELAYED ◀┘    │
              │              │   delay   │
              └── discard ───┴───────────┴──▶ CANCELLED

A line is requeued if its call was cancelled, or if the upstream is down: the attempt does not
count. It is delayed if its call failed and is to be made again. CANCELLED means that this worker
will not run it: another one will, or finalizing writes an error line for it. Only FINISHED lines
are recorded, so a line is recorded at most once.

`worker.shard_run.ShardRun` makes the transitions. It assigns the states unchecked, because it does
so several times per line; a test checks each assignment against `TRANSITIONS`.
"""

from __future__ import annotations

from enum import Enum


class LineState(Enum):
    """Where a line stands in the worker that holds its shard."""

    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    DELAYED = "delayed"
    FINISHED = "finished"
    CANCELLED = "cancelled"


_S = LineState

TRANSITIONS: dict[LineState, frozenset[LineState]] = {
    _S.WAITING: frozenset({_S.IN_FLIGHT, _S.CANCELLED}),
    _S.IN_FLIGHT: frozenset({_S.WAITING, _S.DELAYED, _S.FINISHED, _S.CANCELLED}),
    _S.DELAYED: frozenset({_S.WAITING, _S.CANCELLED}),
    _S.FINISHED: frozenset(),
    _S.CANCELLED: frozenset(),
}

TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
