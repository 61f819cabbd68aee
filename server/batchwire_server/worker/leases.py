"""Keeps a worker's leases, and knows when they can no longer be relied on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from batchwire_server.core.ports import HeldTask, TaskQueue

log = logging.getLogger(__name__)

CHECK_S = 0.5
MARGIN = 0.8
"""The part of a lease's time after which the worker stops by itself, long before another may take over."""


class Leases:
    """Renews what a worker holds, and looks at where it stands.

    Args:
        queue: where the leases are.
        worker: the holder's name.
        ttl: seconds that a lease lasts.
        beat: seconds between renewals.
        holding: returns the epochs of the tasks that the worker believes to hold.
        on_held: called about twice a second with what it does hold.
        on_lost: called with a task that it no longer holds.
        on_stale: called when the leases may run out before they can be renewed.

    Attributes:
        expired_before: leases of others that had run out at this time, by the database's clock, are free to be taken.
    """

    def __init__(
        self,
        queue: TaskQueue,
        worker: str,
        *,
        ttl: float,
        beat: float,
        holding: Callable[[], Mapping[int, int]],
        on_held: Callable[[HeldTask], None],
        on_lost: Callable[[int], None],
        on_stale: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._ttl = ttl
        self._beat = beat
        self._holding = holding
        self._on_held = on_held
        self._on_lost = on_lost
        self._on_stale = on_stale
        self._renewed = time.monotonic()
        self._seen = self._steady_since = self._renewed
        self._clock_offset_ms = 0
        self.expired_before = 0

    @property
    def hold(self) -> bool:
        """Whether the leases can be relied on."""
        return time.monotonic() < self._renewed + self._ttl * MARGIN

    async def run(self) -> None:
        """Renews until cancelled."""
        watching = asyncio.create_task(self._watch_clock())
        try:
            while True:
                try:
                    await self._check()
                except Exception:
                    log.exception("the leases could not be renewed; trying again")
                await asyncio.sleep(CHECK_S)
        finally:
            watching.cancel()

    async def _check(self) -> None:
        started = time.monotonic()
        due = started >= self._renewed + self._beat
        if due or not self._clock_offset_ms:
            now = await self._queue.renew(self._worker, self._ttl)
            self._set_clock(now - int(time.monotonic() * 1000))
        believed = dict(self._holding())
        held = {entry.id: entry for entry in await self._queue.held(self._worker)}
        for task_id, epoch in believed.items():
            if task_id not in held or held[task_id].epoch != epoch:
                self._on_lost(task_id)
            else:
                self._on_held(held[task_id])
        if due:  # only now: what others have taken meanwhile must be known before calls go on
            self._renewed = started
        self._look_on(started)

    def _set_clock(self, offset_ms: int) -> None:
        """Takes note of the difference between the database's clock and this process's; a leap of it lets others' leases run out as an outage does."""
        if abs(offset_ms - self._clock_offset_ms) > self._ttl * MARGIN * 1000:
            self._steady_since = time.monotonic()
        self._clock_offset_ms = offset_ms

    def _look_on(self, now: float) -> None:
        """Takes note that the database was in reach at `now`, and moves `expired_before` up if it has been for a while.

        Leases that ran out while the database was out of reach say nothing of those who hold them: they get time to renew them.
        """
        if now > self._seen + max(self._beat, 3 * CHECK_S):
            self._steady_since = now
        self._seen = now
        if now >= self._steady_since + self._beat:
            self.expired_before = int(now * 1000) + self._clock_offset_ms

    async def _watch_clock(self) -> None:
        """Notices, whatever the database does, that the leases have not been renewed in time."""
        warned = False
        while True:
            await asyncio.sleep(CHECK_S / 2)
            if self.hold:
                warned = False
                continue
            if not warned:
                log.warning("the leases could not be renewed in time: calls in flight are cut off")
                warned = True
            self._on_stale()
