"""How many calls an upstream bears: found out by asking for more until it pushes back."""

from __future__ import annotations


class AdaptiveLimit:
    """A limit that grows with each success and halves when the upstream pushes back.

    It doubles per round of calls until the first pushback, and grows by one per round after that (AIMD, as TCP does). Growth needs the
    limit to be used: an idle lane learns nothing.

    Args:
        start: the first limit.
        cap: the highest limit; may be changed at any time.
    """

    def __init__(self, start: int, cap: int) -> None:
        self.cap = max(1, cap)
        self._limit = float(min(start, self.cap))
        self._threshold = float("inf")
        self._era = 0

    @property
    def value(self) -> int:
        """How many calls may be in flight."""
        return max(1, min(int(self._limit), self.cap))

    @property
    def era(self) -> int:
        """Grows with each halving; a call remembers the era that it was made in."""
        return self._era

    def succeeded(self, in_flight: int) -> None:
        """Takes note of a success, while `in_flight` calls, this one included, were being made."""
        if in_flight >= self._limit * 0.8 and self._limit < self.cap:
            self._limit += 1.0 if self._limit < self._threshold else 1.0 / self._limit

    def pushed_back(self, era: int) -> None:
        """Takes note of a pushback to a call made in `era`; of those that one overload caused, only the first counts."""
        if era != self._era:
            return
        self._era += 1
        self._limit = max(1.0, min(self._limit, float(self.cap)) / 2)
        self._threshold = self._limit
