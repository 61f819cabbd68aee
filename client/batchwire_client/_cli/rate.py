"""The rate of a counter, and the time left at this rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 30.0


class Rate:
    """The rate of a counter over a sliding window, so that it follows changes of speed.

    Args:
        clock: returns the current time in seconds.
        window_s: length of the window in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, window_s: float = WINDOW_S) -> None:
        self._clock = clock
        self._window_s = window_s
        self._marks: deque[tuple[float, int]] = deque()

    def record(self, done: int) -> None:
        """Record the current count."""
        now = self._clock()
        self._marks.append((now, done))
        # Keep one mark that is as old as the window, so that the marks span all of it.
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window_s:
            self._marks.popleft()

    def per_second(self) -> float | None:
        """Return the increase per second. None until it can be measured."""
        if len(self._marks) < 2:
            return None
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def seconds_left(self, total: int | None) -> float | None:
        """Return the seconds until the count reaches `total`. None if that is unknown."""
        per_second = self.per_second()
        if per_second is None or total is None:
            return None
        return max(total - self._marks[-1][1], 0) / per_second


def duration(seconds: float) -> str:
    """Return a duration as text, such as `42s`, `3m 05s` or `2h 07m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
