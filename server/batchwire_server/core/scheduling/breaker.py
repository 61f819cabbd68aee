"""The circuit breaker of an upstream.

              trip                 delay over
    CLOSED ─────────▶ OPEN ─────────────────────▶ HALF_OPEN
       ▲               ▲                           │   │
       │               └─────────── trip ──────────┘   │
       └────────────────── answer, or other failure ───┘

CLOSED: calls are bounded by the lane's limit. OPEN: no call is made. HALF_OPEN: one call at a time
probes the upstream. Each trip without an answer in between doubles the delay. The caller passes
the times: seconds of any monotonic clock.
"""

from __future__ import annotations

from enum import StrEnum

from batchwire_server.core.results import NoReply, NoReplyKind, Reply
from batchwire_server.core.scheduling.retry import GATEWAY_STATUSES

FAILURES_IN_A_ROW = 16
"""After so many failures without an answer, further failures count as an upstream that is down."""

MAX_OPEN_S = 5.0
"""The longest delay between probes."""

MAX_DOUBLINGS = 16


class BreakerState(StrEnum):
    """Whether the upstream may be called."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Decides from results whether an upstream is down, and when to probe it.

    Args:
        base_s: seconds of the first delay.
        cap_s: the longest delay; `MAX_OPEN_S` bounds it too.

    Attributes:
        tripped: True while open or half-open.
    """

    def __init__(self, base_s: float, cap_s: float) -> None:
        self.tripped = False
        self._base_s = base_s
        self._cap_s = min(cap_s, MAX_OPEN_S)
        self._failures = 0
        self._trips = 0
        self._open_until = 0.0

    def state(self, now: float) -> BreakerState:
        """Return the state at a time."""
        if not self.tripped:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def succeeded(self) -> bool:
        """Record that the upstream answered. Return True if that closes a tripped breaker."""
        self._failures = 0
        return self.tripped and self._close()

    def failed(self, result: Reply | NoReply, *, alternatives: bool) -> bool:
        """Record a failure. Return True if it shows that the upstream is down: then `trip`.

        A refused connection always does. After `FAILURES_IN_A_ROW` failures so does a 502, 503 or
        504 or a broken connection, or any failure if another upstream serves the model. A response
        with Retry-After never does: the upstream is up. Any failure that does not closes the
        breaker.

        Args:
            result: no reply, or a reply with a status of 500 or more.
            alternatives: whether another upstream serves the model.
        """
        self._failures += 1
        down = self._shows_down(result, alternatives=alternatives)
        if not down:
            self._close()
        return down

    def trip(self, now: float) -> float:
        """Open the breaker. Return the seconds until the upstream may be probed."""
        delay = min(self._cap_s, self._base_s * 2.0**self._trips)
        self._trips = min(self._trips + 1, MAX_DOUBLINGS)
        self._open_until = now + delay
        self.tripped = True
        return delay

    def _close(self) -> bool:
        self.tripped, self._trips = False, 0
        return True

    def _shows_down(self, result: Reply | NoReply, *, alternatives: bool) -> bool:
        if isinstance(result, NoReply):
            if result.kind is NoReplyKind.UNREACHABLE:
                return True
            typical = result.kind is NoReplyKind.BROKEN
        elif result.retry_after is not None:
            return False
        else:
            typical = result.status in GATEWAY_STATUSES
        return self._failures > FAILURES_IN_A_ROW and (typical or alternatives)
