"""Retry policies: pauses as plain numbers, without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom

_random = SystemRandom().random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter, so that clients do not reconnect at the same moment.

    Attributes:
        first: seconds of the first pause, before jitter.
        factor: ratio of each pause to the one before.
        longest: upper bound of a pause in seconds.
        tries: number of attempts, with the first. 1 means that nothing is retried.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 2.0
    tries: int = 5

    def pauses(self, random: Callable[[], float] = _random) -> Iterator[float]:
        """Yield the seconds to wait before each retry, and end when no attempt is left.

        Args:
            random: returns a number from 0 to 1. 1 halves a pause, 0 leaves it as it is.
        """
        pause = self.first
        for _ in range(self.tries - 1):
            yield min(pause, self.longest) * (1 - random() / 2)
            pause = min(pause * self.factor, self.longest)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a client retries, and when it gives up.

    Attributes:
        calls: backoff of unary calls that are safe to repeat, and of opening a stream.
        streams: backoff of resuming a stream that breaks after its first message. Every message
            starts it anew. The default lasts about six minutes, enough for a server to restart.
        silence: seconds without a message after which a stream counts as broken.
    """

    calls: Backoff = Backoff()
    streams: Backoff = Backoff(longest=10.0, tries=50)
    silence: float = 60.0
