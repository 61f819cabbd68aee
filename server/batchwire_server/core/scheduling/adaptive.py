"""How many calls an upstream can take at once: the limit grows until the upstream pushes back."""

from __future__ import annotations


class AdaptiveLimit:
    """A limit that grows with each success and halves with each pushback.

    It doubles per round of calls until the first pushback, and then grows by one per round (AIMD,
    as in TCP). It grows only while at least four fifths of it are in use: an idle lane shows
    nothing about the upstream.

    Args:
        start: the first limit.
        cap: the highest limit; may be changed at any time.

    Attributes:
        value: how many calls may be in flight.
        era: number of halvings so far; the caller remembers it with each call.
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
        """Record a success. Return True if the limit grew, so that another call may start.

        Args:
            in_flight: calls that were in flight, this one included.
        """
        limit = self._limit
        if limit >= self._cap or in_flight < limit * 0.8:
            return False
        before = self.value
        self._set(limit + (1.0 if limit < self._threshold else 1.0 / limit))
        return self.value > before

    def pushed_back(self, era: int) -> None:
        """Halve the limit after a 429 or 503.

        Pushbacks to calls of an older `era` are ignored, so one overload halves it once.
        """
        if era != self.era:
            return
        self.era += 1
        self._threshold = max(1.0, min(self._limit, float(self._cap)) / 2)
        self._set(self._threshold)

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.value = max(1, min(int(limit), self._cap))
