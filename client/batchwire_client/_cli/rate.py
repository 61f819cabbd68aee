"""The rate of a growing number, and the time that is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 30.0


class Rate:
    """A rate over the last `window` seconds, so that it follows changes of speed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, window: float = WINDOW_S) -> None:
        self._clock = clock
        self._window = window
        self._marks: deque[tuple[float, int]] = deque()

    def reach(self, done: int) -> None:
        """Record the number that is reached now."""
        now = self._clock()
        self._marks.append((now, done))
        # The oldest mark is the newest one that is a window old, so that the marks span the window.
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window:
            self._marks.popleft()

    def per_second(self) -> float | None:
        """Return units per second; None while nothing can be measured."""
        if len(self._marks) < 2:
            return None
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def seconds_left(self, total: int | None) -> float | None:
        """Return the seconds until `total` is reached at this rate; None if unknown."""
        per_second = self.per_second()
        if per_second is None or total is None:
            return None
        return max(total - self._marks[-1][1], 0) / per_second


def duration(seconds: float) -> str:
    """Return seconds as text: `42s`, `3m 05s`, `2h 07m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
