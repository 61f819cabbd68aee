"""Word of change: on SQLite its change counter, looked at often; on PostgreSQL a notice with each commit; in memory a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

POLL_S = 0.01
RECONNECT_S = 1.0


class Changes:
    """The ChangeFeed of whoever calls `changed`: a counter of changes, and those who wait for the next."""

    def __init__(self) -> None:
        self._counter = 1
        self._waiters: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """Counts a change, and tells all who wait."""
        self._counter += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _begin(self) -> None:
        """Called before somebody waits."""

    async def wait(self, seen: int, timeout: float) -> int:
        """Waits until the change counter is another than `seen`, or `timeout` seconds; returns the counter."""
        self._begin()
        if self._counter != seen:
            return self._counter
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await waiter
        finally:
            self._waiters.discard(waiter)
        return self._counter


class PolledChanges(Changes):
    """The ChangeFeed that looks at a counter every 10 ms, while anybody waits, for all who wait.

    Args:
        read: returns a number that moves when the database changes; it must not block.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        super().__init__()
        self._read = read
        self._last = read()
        self._poller: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        self._look()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        await asyncio.sleep(0)  # whoever has it begin waits only then
        while self._waiters:
            self._look()
            await asyncio.sleep(POLL_S)

    def _look(self) -> None:
        if (version := self._read()) != self._last:
            self._last = version
            self.changed()

    async def close(self) -> None:
        """Stops looking."""
        if self._poller:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller


class NotifiedChanges(Changes):
    """The ChangeFeed that is told: by a connection that listens, for as long as `run` runs.

    A connection that breaks is made anew; what came meanwhile is not known, and counts as a change.

    Args:
        listen: opens a connection that calls its first argument with each notice, and its second when it has broken; returns what closes it.
    """

    def __init__(
        self, listen: Callable[[Callable[[], None], Callable[[], None]], Awaitable[Callable[[], Awaitable[Any]]]]
    ) -> None:
        super().__init__()
        self._listen = listen

    async def run(self) -> None:
        """Listens until cancelled."""
        while True:
            broken = asyncio.Event()
            try:
                close = await self._listen(self.changed, broken.set)
            except Exception:
                log.exception("changes cannot be listened to; trying again")
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                self.changed()
                await broken.wait()
                log.warning("the connection that listens to changes has broken")
            finally:
                with suppress(Exception):
                    await close()
