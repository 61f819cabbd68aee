"""Decides what becomes of a call: it is final, or it is made again after a while."""

from __future__ import annotations

import random
from dataclasses import dataclass

from batchwire_server.core.results import NoReply, NoReplyKind, Reply

RETRIED_STATUSES = frozenset({408, 409, 425, 429})
PUSHBACK_STATUSES = frozenset({429, 503})
GATEWAY_STATUSES = frozenset({502, 503, 504})
MAX_PAUSE_S = 300.0
"""An upstream that asks for more than this is asked again all the same."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon calls are made again. Times in seconds.

    `max_attempts` counts calls that an upstream took and failed. One that refuses work (429, or no connection at all) has taken none, so
    those go on until the batch's deadline.
    """

    max_attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Again:
    """Make the call again.

    Attributes:
        delay: seconds from now.
        pause: seconds for which the whole lane must not call, because the upstream asked for it.
        pushback: the upstream has too much to do.
        counted: the call counts as an attempt.
    """

    delay: float
    pause: float = 0.0
    pushback: bool = False
    counted: bool = True


def is_retried(result: Reply | NoReply) -> bool:
    """Tells whether a result may be better another time."""
    return isinstance(result, NoReply) or result.status in RETRIED_STATUSES or result.status >= 500


def decide(result: Reply | NoReply, attempts: int, refusals: int, policy: RetryPolicy) -> Again | None:
    """Returns when to make the call again, or None when its result is final.

    Args:
        result: what came of the call.
        attempts: calls that counted before this one.
        refusals: calls that did not count before this one.
        policy: how often and how soon.
    """
    if not is_retried(result):
        return None
    pushback = isinstance(result, Reply) and result.status in PUSHBACK_STATUSES
    refused = result.kind is NoReplyKind.UNREACHABLE if isinstance(result, NoReply) else result.status == 429
    if not refused and attempts + 1 >= policy.max_attempts:
        return None
    asked = min(result.retry_after or 0.0, MAX_PAUSE_S) if isinstance(result, Reply) else 0.0
    ceiling = min(policy.cap_s, policy.base_s * 2 ** min(attempts + refusals, 20))
    delay = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load is no secret
    return Again(
        delay=max(delay, asked),
        pause=asked if pushback else 0.0,
        pushback=pushback,
        counted=not refused,
    )
