"""How a mock upstream behaves: laws of latency, and how many calls it allows."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

Distribution = Callable[[random.Random], float]
"""Draws a latency, in seconds."""


def constant(seconds: float) -> Distribution:
    """Always the same."""
    return lambda _: seconds


def uniform(low: float, high: float) -> Distribution:
    """Anything between two bounds."""
    return lambda source: source.uniform(low, high)


def lognormal(mean: float, sigma: float) -> Distribution:
    """A long tail: with sigma 1, one call of a hundred takes six times the mean."""
    middle = math.log(mean) - sigma * sigma / 2
    return lambda source: source.lognormvariate(middle, sigma)


DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "constant": constant,
    "uniform": uniform,
    "lognormal": lognormal,
}


def distribution(words: str) -> Distribution:
    """Read a law, such as `lognormal:0.2:1`. Raises ValueError."""
    name, *numbers = words.split(":")
    if name not in DISTRIBUTIONS:
        raise ValueError(f"{name!r} is none of {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[name](*map(float, numbers))


class RateLimit:
    """So many calls per second, with one second's worth saved up at most.

    Args:
        per_second: how many.
        clock: returns seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._saved = per_second
        self._then = clock()

    def allows(self) -> bool:
        """Return whether one more call is allowed now."""
        now = self._clock()
        self._saved = min(self._per_second, self._saved + (now - self._then) * self._per_second)
        self._then = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
