"""How many calls an upstream bears: found out by asking for more until it pushes back."""

from __future__ import annotations


class AdaptiveLimit:
    """A limit that grows with each success and halves when the upstream pushes back.

    It doubles per round of calls until the first pushback, and grows by one per round after that (AIMD, as TCP does). Growth needs the
    limit to be used: an idle lane learns nothing.

    Args:
        start: the first limit.
        cap: the highest limit; may be changed at any time.

    Attributes:
        value: how many calls may be in flight.
        era: grows with each halving; a call remembers the era that it was made in.
    """

    def __init__(self, start: int, cap: int) -> None:
        self._cap = max(1, cap)
        self._limit = float(min(start, self._cap))
        self._threshold = float("inf")
        self.value = int(self._limit)
        self.era = 0

    @property
    def cap(self) -> int:
        """The highest limit."""
        return self._cap

    @cap.setter
    def cap(self, cap: int) -> None:
        self._cap = max(1, cap)
        self._set(self._limit)

    def succeeded(self, in_flight: int) -> bool:
        """Takes note of a success, while `in_flight` calls, this one included, were being made; tells whether another one may be made now."""
        limit = self._limit
        if limit >= self._cap or in_flight < limit * 0.8:
            return False
        before = self.value
        self._set(limit + (1.0 if limit < self._threshold else 1.0 / limit))
        return self.value > before

    def pushed_back(self, era: int) -> None:
        """Takes note of a pushback to a call made in `era`; of those that one overload caused, only the first counts."""
        if era != self.era:
            return
        self.era += 1
        self._threshold = max(1.0, min(self._limit, float(self._cap)) / 2)
        self._set(self._threshold)

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.value = max(1, min(int(limit), self._cap))
