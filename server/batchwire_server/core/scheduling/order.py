"""The order in which the lines of one model are called.

Tenants take turns. The lines of one tenant run in the order in which they came. A line that must
wait before its next call is in a separate heap, ordered by due time. The caller passes the times:
seconds of any monotonic clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from typing import Generic, TypeVar

LineT = TypeVar("LineT")


class FairQueue(Generic[LineT]):
    """A queue that serves tenants round-robin, and each tenant first in, first out.

    Attributes:
        size: number of lines in the queue.
    """

    def __init__(self) -> None:
        self.size = 0
        self._lines: dict[str, deque[LineT]] = {}
        self._turns: deque[str] = deque()

    @property
    def tenants(self) -> Collection[str]:
        """The tenants that have lines in the queue, the next to be served first."""
        return self._turns

    def extend(self, tenant: str, lines: Sequence[LineT]) -> None:
        """Add lines of a tenant at the end."""
        if lines:
            self._of(tenant).extend(lines)
            self.size += len(lines)

    def push_front(self, tenant: str, line: LineT) -> None:
        """Add a line at the front of its tenant's queue."""
        self._of(tenant).appendleft(line)
        self.size += 1

    def pop(self) -> LineT | None:
        """Remove and return the next line, or return None if the queue is empty."""
        if not self._turns:
            return None
        tenant = self._turns[0]
        lines = self._lines[tenant]
        line = lines.popleft()
        self.size -= 1
        if lines:
            self._turns.rotate(-1)
        else:
            self._turns.popleft()
            del self._lines[tenant]
        return line

    def _of(self, tenant: str) -> deque[LineT]:
        lines = self._lines.get(tenant)
        if lines is None:
            lines = self._lines[tenant] = deque()
            self._turns.append(tenant)
        return lines


class DelayHeap(Generic[LineT]):
    """Lines that wait for their time, ordered by it; equal times in the order of insertion."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, LineT]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> float | None:
        """When the first line is due, or None if there is none."""
        return self._heap[0][0] if self._heap else None

    def push(self, line: LineT, due: float) -> None:
        """Add a line that is due at a time."""
        heapq.heappush(self._heap, (due, next(self._order), line))

    def pop_due(self, now: float) -> Iterator[LineT]:
        """Remove and yield the lines that are due, the earliest first."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]
