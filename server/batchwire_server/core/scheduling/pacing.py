"""Calls and tokens per minute of an upstream, as token buckets.

The caller passes the times: seconds of any monotonic clock.
"""

from __future__ import annotations

BURST_S = 1.0
"""A bucket holds at most this many seconds of its rate."""

BYTES_PER_TOKEN = 4
"""An estimate, until the first answer that reports its usage."""

SMOOTHING = 0.1
"""The weight of the newest answer in the moving mean of used tokens."""


class Bucket:
    """A token bucket that may be overdrawn. It must fill up again before more is spent.

    Args:
        per_minute: the rate at which it fills.
        now: the time of creation; the bucket is full then.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_minute = per_minute
        self._then = now
        self._set(per_minute)
        self._saved = self._most

    def share(self, workers: int, now: float) -> None:
        """Fill at one of `workers` equal parts of the rate from now on."""
        self._fill(now)
        self._set(self._per_minute / workers)

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until the bucket holds an amount, or is full if it is smaller."""
        self._fill(now)
        return max(0.0, (min(amount, self._most) - self._saved) / self._rate)

    def holds(self, amount: float, now: float) -> int:
        """Return how many times an amount can be spent now; at least 1 if `wait` is 0."""
        return 0 if self.wait(amount, now) else max(1, int(self._saved / amount))

    def spend(self, amount: float, now: float) -> None:
        """Take an amount out. A negative amount is put back."""
        self._fill(now)
        self._saved = min(self._most, self._saved - amount)

    def _set(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * BURST_S)

    def _fill(self, now: float) -> None:
        self._saved = min(self._most, self._saved + (now - self._then) * self._rate)
        self._then = now


class Pacing:
    """The rates at which one model of an upstream may be called.

    Only its answer says how many tokens a call used. Until then the call counts with the moving
    mean of earlier answers.

    Args:
        requests_per_minute, tokens_per_minute: over all workers; 0 means unlimited.
        now: the time of creation.
    """

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, now: float) -> None:
        self._calls = Bucket(requests_per_minute, now) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, now) if tokens_per_minute else None
        self._mean = 0.0

    def share(self, workers: int, now: float) -> None:
        """Allow one of `workers` equal parts of the rates from now on."""
        for bucket in (self._calls, self._tokens):
            if bucket:
                bucket.share(workers, now)

    def wait(self, now: float) -> float:
        """Return the seconds until a call may start."""
        return max(
            self._calls.wait(1, now) if self._calls else 0.0,
            self._tokens.wait(max(1.0, self._mean), now) if self._tokens else 0.0,
        )

    def room(self, most: int, now: float) -> int:
        """Return how many calls may start now, at most `most`."""
        if self._calls:
            most = min(most, self._calls.holds(1, now))
        if self._tokens:
            most = min(most, self._tokens.holds(max(1.0, self._mean), now))
        return most

    def start(self, body_bytes: int, now: float) -> float:
        """Record the start of a call. Return the tokens that it counts with until its `end`."""
        if self._calls:
            self._calls.spend(1, now)
        expected = self._mean or body_bytes / BYTES_PER_TOKEN
        if self._tokens:
            self._tokens.spend(expected, now)
        return expected

    def end(self, expected: float, used: int, now: float) -> None:
        """Record the end of a call, and correct its reservation.

        Args:
            expected: what `start` returned.
            used: tokens that the answer reports; 0 without an answer or a report.
            now: the time.
        """
        if self._tokens:
            self._tokens.spend(used - expected, now)
        if used:
            self._mean = used if not self._mean else self._mean + (used - self._mean) * SMOOTHING
