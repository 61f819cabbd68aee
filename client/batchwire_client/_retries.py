"""The retry policy: pauses as plain numbers, without a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom

_chance = SystemRandom().random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with jitter, so that clients do not retry in step.

    Attributes:
        first: Seconds of the first pause.
        factor: Ratio of each pause to the one before.
        longest: Seconds of the longest pause.
        tries: Total number of attempts; 1 means no retry.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 2.0
    tries: int = 5

    def pauses(self, chance: Callable[[], float] = _chance) -> Iterator[float]:
        """Yield the seconds to wait before each retry.

        Args:
            chance: Returns a number from 0 to 1. It shortens a pause by up to half.
        """
        pause = self.first
        for _ in range(self.tries - 1):
            yield min(pause, self.longest) * (1 - chance() / 2)
            pause = min(pause * self.factor, self.longest)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a client retries.

    Attributes:
        calls: For idempotent calls, and for opening a stream.
        streams: For resuming a stream that broke. The default lasts about six minutes, enough for
            a server to restart.
        silence: Seconds without a message after which a stream counts as broken.
    """

    calls: Backoff = Backoff()
    streams: Backoff = Backoff(longest=10.0, tries=50)
    silence: float = 60.0
