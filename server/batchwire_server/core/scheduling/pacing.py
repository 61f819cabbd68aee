"""How many calls an upstream takes per minute, and how many tokens: token buckets, which know the time only by being told."""

from __future__ import annotations

SAVED_S = 1.0
"""For so long a bucket saves up what is not spent."""

BYTES_PER_TOKEN = 4
"""A guess, for as long as no answer has said what it used."""

MEMORY = 0.1
"""The weight of the newest answer in the mean of what answers used."""


class Bucket:
    """So much per minute. It may be overdrawn, and is paid back before anything more is spent.

    Args:
        per_minute: how much.
        now: seconds, by any clock that does not go back.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_minute = per_minute
        self._then = now
        self._set(per_minute)
        self._saved = self._most

    def share(self, workers: int, now: float) -> None:
        """Takes one of `workers` equal parts from now on."""
        self._fill(now)
        self._set(self._per_minute / workers)

    def wait(self, amount: float, now: float) -> float:
        """Returns the seconds until an amount is there, or as much of it as there can be."""
        self._fill(now)
        return max(0.0, (min(amount, self._most) - self._saved) / self._rate)

    def holds(self, amount: float, now: float) -> int:
        """Returns how many times an amount is there."""
        return 0 if self.wait(amount, now) else max(1, int(self._saved / amount))

    def spend(self, amount: float, now: float) -> None:
        """Takes an amount out, or puts one back that is negative."""
        self._fill(now)
        self._saved = min(self._most, self._saved - amount)

    def _set(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * SAVED_S)

    def _fill(self, now: float) -> None:
        self._saved = min(self._most, self._saved + (now - self._then) * self._rate)
        self._then = now


class Pacing:
    """What an upstream takes for one model.

    What a call will use is known only by its answer. Until then it counts with the mean of the answers before it.

    Args:
        requests_per_minute, tokens_per_minute: over all workers; 0 for any number.
        now: seconds, by any clock that does not go back.
    """

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, now: float) -> None:
        self._calls = Bucket(requests_per_minute, now) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, now) if tokens_per_minute else None
        self._mean = 0.0

    def share(self, workers: int, now: float) -> None:
        """Takes one of `workers` equal parts from now on."""
        for bucket in (self._calls, self._tokens):
            if bucket:
                bucket.share(workers, now)

    def wait(self, now: float) -> float:
        """Returns the seconds until a call may be made."""
        return max(
            self._calls.wait(1, now) if self._calls else 0.0,
            self._tokens.wait(max(1.0, self._mean), now) if self._tokens else 0.0,
        )

    def room(self, most: int, now: float) -> int:
        """Returns how many calls may be made now, up to a number."""
        if self._calls:
            most = min(most, self._calls.holds(1, now))
        if self._tokens:
            most = min(most, self._tokens.holds(max(1.0, self._mean), now))
        return most

    def start(self, body_bytes: int, now: float) -> float:
        """Takes note of a call; returns the tokens that it counts with until it has ended."""
        if self._calls:
            self._calls.spend(1, now)
        expected = self._mean or body_bytes / BYTES_PER_TOKEN
        if self._tokens:
            self._tokens.spend(expected, now)
        return expected

    def end(self, expected: float, used: int, now: float) -> None:
        """Takes note of what a call has used after all: 0 for one that got no answer, or one that does not say."""
        if self._tokens:
            self._tokens.spend(used - expected, now)
        if used:
            self._mean = used if not self._mean else self._mean + (used - self._mean) * MEMORY
