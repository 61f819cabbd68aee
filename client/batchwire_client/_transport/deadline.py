"""A deadline."""

from __future__ import annotations

import time


class Deadline:
    """An instant `seconds` from now, or never."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds left, at least 0; None without a deadline."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def cut(self, pause: float) -> float:
        """Return a pause, shortened to end at the deadline."""
        left = self.left()
        return pause if left is None else min(pause, left)
