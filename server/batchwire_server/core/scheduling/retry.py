"""Whether the result of a call is final, or the call is retried after a delay."""

from __future__ import annotations

import random
from dataclasses import dataclass

from batchwire_server.core.results import NoReply, NoReplyKind, Reply

RETRIED_STATUSES = frozenset({408, 409, 425, 429})
PUSHBACK_STATUSES = frozenset({429, 503})
GATEWAY_STATUSES = frozenset({502, 503, 504})
MAX_PAUSE_S = 300.0
"""A longer Retry-After is shortened to this."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon calls are retried.

    Refused calls (429, or no connection) are not attempts: they are retried until the batch's
    deadline.

    Attributes:
        max_attempts: calls that the upstream accepted, after which a failure is final.
        base_s: seconds before the first retry; each further retry waits twice as long.
        cap_s: the longest backoff in seconds; a Retry-After may exceed it.
    """

    max_attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """A call that is to be made again.

    Attributes:
        delay: seconds until the retry.
        pause: seconds for which the whole lane must not call, as the upstream's Retry-After asks.
        pushback: whether the upstream is overloaded (429 or 503).
        counted: whether the failed call counts as an attempt.
    """

    delay: float
    pause: float = 0.0
    pushback: bool = False
    counted: bool = True


def is_retried(result: Reply | NoReply) -> bool:
    """Return True if a retry of the call may succeed."""
    return isinstance(result, NoReply) or result.status in RETRIED_STATUSES or result.status >= 500


def decide(result: Reply | NoReply, attempts: int, refusals: int, policy: RetryPolicy) -> Retry | None:
    """Return how to retry the call, or None if its result is final.

    Args:
        result: the result of the call.
        attempts: earlier calls of the line that counted.
        refusals: earlier calls of the line that did not count.
        policy: how often and how soon to retry.
    """
    if not is_retried(result):
        return None
    pushback = isinstance(result, Reply) and result.status in PUSHBACK_STATUSES
    refused = result.kind is NoReplyKind.UNREACHABLE if isinstance(result, NoReply) else result.status == 429
    if not refused and attempts + 1 >= policy.max_attempts:
        return None
    asked = min(result.retry_after or 0.0, MAX_PAUSE_S) if isinstance(result, Reply) else 0.0
    ceiling = min(policy.cap_s, policy.base_s * 2 ** min(attempts + refusals, 20))
    delay = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is not a secret
    return Retry(
        delay=max(delay, asked),
        pause=asked if pushback else 0.0,
        pushback=pushback,
        counted=not refused,
    )
