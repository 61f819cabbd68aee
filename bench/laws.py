"""How a mock upstream behaves: laws of latency, and how many calls it allows."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

Law = Callable[[random.Random], float]
"""Draws a latency, in seconds."""


def constant(seconds: float) -> Law:
    """Always the same."""
    return lambda _: seconds


def uniform(low: float, high: float) -> Law:
    """Anything between two bounds."""
    return lambda source: source.uniform(low, high)


def lognormal(mean: float, sigma: float) -> Law:
    """A long tail: with sigma 1, one call of a hundred takes six times the mean."""
    middle = math.log(mean) - sigma * sigma / 2
    return lambda source: source.lognormvariate(middle, sigma)


LAWS: dict[str, Callable[..., Law]] = {"constant": constant, "uniform": uniform, "lognormal": lognormal}


def law(words: str) -> Law:
    """Reads a law, such as `lognormal:0.2:1`. Raises ValueError."""
    name, *numbers = words.split(":")
    if name not in LAWS:
        raise ValueError(f"{name!r} is none of {', '.join(LAWS)}")
    return LAWS[name](*map(float, numbers))


class Allowance:
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

    def take(self) -> bool:
        """Tells whether one more call is allowed now."""
        now = self._clock()
        self._saved = min(self._per_second, self._saved + (now - self._then) * self._per_second)
        self._then = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
