"""How fast a number grows, and how long it still needs. No I/O here."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 30.0


class Pace:
    """Measures over the last half minute, so that it follows a server that speeds up or slows down."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, window: float = WINDOW_SECONDS) -> None:
        self._clock = clock
        self._window = window
        self._marks: deque[tuple[float, int]] = deque()

    def reach(self, done: int) -> None:
        """Notes how far it is now."""
        now = self._clock()
        self._marks.append((now, done))
        # the oldest mark kept is the youngest that is a window old, so that the measure spans the window
        while len(self._marks) > 2 and now - self._marks[1][0] >= self._window:
            self._marks.popleft()

    def rate(self) -> float | None:
        """Units per second; None while there is nothing to measure."""
        if len(self._marks) < 2:
            return None
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    def seconds_left(self, total: int | None) -> float | None:
        """Seconds until `total` is reached at this rate; None when it cannot be told."""
        rate = self.rate()
        if rate is None or total is None:
            return None
        return max(total - self._marks[-1][1], 0) / rate


def duration(seconds: float) -> str:
    """Seconds for people: `42s`, `3m 05s`, `2h 07m`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
