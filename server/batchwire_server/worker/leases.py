"""The leases of a worker: renewing them, and knowing when they may expire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from batchwire_server.core.ports import HeldTask, TaskQueue

log = logging.getLogger(__name__)

CHECK_S = 0.5
VALID_FRACTION = 0.8
"""Fraction of a lease's time after which its holder stops, well before another may take over."""


class Leases:
    """The heartbeat of a worker: renews its leases, and compares them with what it works on.

    Args:
        queue: the task queue.
        worker: the name of the leases' holder.
        ttl_s: seconds that a lease lasts.
        heartbeat_s: seconds between renewals.
        holding: returns the epoch of each task that the worker works on, by task id.
        on_held: called about twice a second with each of these that it does hold.
        on_lost: called with the id of a task that it no longer holds.
        on_stale: called repeatedly while the leases may have expired.

    Attributes:
        expired_before: leases of others may be taken over if they expired before this time
            (database clock, ms).
    """

    def __init__(
        self,
        queue: TaskQueue,
        worker: str,
        *,
        ttl_s: float,
        heartbeat_s: float,
        holding: Callable[[], Mapping[int, int]],
        on_held: Callable[[HeldTask], None],
        on_lost: Callable[[int], None],
        on_stale: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._worker = worker
        self._ttl_s = ttl_s
        self._heartbeat_s = heartbeat_s
        self._holding = holding
        self._on_held = on_held
        self._on_lost = on_lost
        self._on_stale = on_stale
        self._renewed = time.monotonic()
        self._seen = self._steady_since = self._renewed
        self._clock_offset_ms = 0
        self.expired_before = 0

    @property
    def valid(self) -> bool:
        """Whether no lease can have expired, so that calls may be made."""
        return time.monotonic() < self._renewed + self._ttl_s * VALID_FRACTION

    async def run(self) -> None:
        """Renew the leases until cancelled."""
        watching = asyncio.create_task(self._watch_clock())
        try:
            while True:
                try:
                    await self._check()
                except Exception:
                    log.exception("renewing the leases of worker %s failed; trying again", self._worker)
                await asyncio.sleep(CHECK_S)
        finally:
            watching.cancel()

    async def _check(self) -> None:
        started = time.monotonic()
        due = started >= self._renewed + self._heartbeat_s
        if due or not self._clock_offset_ms:
            now = await self._queue.renew(self._worker, self._ttl_s)
            self._set_clock(now - int(time.monotonic() * 1000))
        believed = dict(self._holding())
        held = {entry.id: entry for entry in await self._queue.held(self._worker)}
        for task_id, epoch in believed.items():
            if task_id not in held or held[task_id].epoch != epoch:
                self._on_lost(task_id)
            else:
                self._on_held(held[task_id])
        if due:  # only now: calls of tasks that others have taken over must be cancelled first
            self._renewed = started
        self._allow_takeovers(started)

    def _set_clock(self, offset_ms: int) -> None:
        """Record the offset of the database clock against this process's monotonic clock.

        A jump expires leases just as an outage does, so takeovers wait for a steady period again.
        """
        if abs(offset_ms - self._clock_offset_ms) > self._ttl_s * VALID_FRACTION * 1000:
            self._steady_since = time.monotonic()
        self._clock_offset_ms = offset_ms

    def _allow_takeovers(self, now: float) -> None:
        """Advance `expired_before`, if the database has been in reach for a heartbeat up to `now`.

        Leases that expired during an outage do not show that their holders are dead. Those get
        the time of a heartbeat to renew them.
        """
        if now > self._seen + max(self._heartbeat_s, 3 * CHECK_S):
            self._steady_since = now
        self._seen = now
        if now >= self._steady_since + self._heartbeat_s:
            self.expired_before = int(now * 1000) + self._clock_offset_ms

    async def _watch_clock(self) -> None:
        """Report leases that were not renewed in time, even while a renewal hangs."""
        warned = False
        while True:
            await asyncio.sleep(CHECK_S / 2)
            if self.valid:
                warned = False
                continue
            if not warned:
                log.warning(
                    "the leases of worker %s were not renewed in time; calls in flight are cancelled", self._worker
                )
                warned = True
            self._on_stale()
