"""Latency distributions and the rate limit of the mock upstream."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

Distribution = Callable[[random.Random], float]
"""Draws a latency in seconds from a source of randomness."""


def constant(seconds: float) -> Distribution:
    """Return the distribution with a single value."""
    return lambda _: seconds


def uniform(low: float, high: float) -> Distribution:
    """Return the uniform distribution between two bounds."""
    return lambda source: source.uniform(low, high)


def lognormal(mean: float, sigma: float) -> Distribution:
    """Return a log-normal distribution.

    With sigma 1, one call of a hundred takes six times the mean.
    """
    middle = math.log(mean) - sigma * sigma / 2
    return lambda source: source.lognormvariate(middle, sigma)


DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {
    "constant": constant,
    "uniform": uniform,
    "lognormal": lognormal,
}


def distribution(spec: str) -> Distribution:
    """Parse a distribution such as `lognormal:0.2:1`. Raises ValueError if its name is unknown."""
    name, *numbers = spec.split(":")
    if name not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {name!r}; known are {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[name](*map(float, numbers))


class RateLimit:
    """A token bucket that holds the calls of one second.

    Args:
        per_second: calls allowed per second.
        clock: returns the time in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._tokens = per_second
        self._updated = clock()

    def allows(self) -> bool:
        """Take a token. Return whether there was one."""
        now = self._clock()
        self._tokens = min(self._per_second, self._tokens + (now - self._updated) * self._per_second)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
