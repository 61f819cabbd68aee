"""Time that runs out."""

import time


class Deadline:
    """A moment some seconds from now, or never."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds that are left, not below zero; None when there is no end."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def cut(self, pause: float) -> float:
        """A pause, shortened where it would pass the deadline."""
        left = self.left()
        return pause if left is None else min(pause, left)
