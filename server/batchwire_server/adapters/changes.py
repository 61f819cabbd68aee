"""Word of change on SQLite: its change counter, looked at often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

POLL_S = 0.025


class PolledChanges:
    """The ChangeFeed that looks at a counter every 25 ms, while anybody waits, for all who wait.

    Args:
        read: returns a number that moves when the database changes; it must not block.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        self._last = read()
        self._counter = 1
        self._waiters: set[asyncio.Future[None]] = set()
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, seen: int, timeout: float) -> int:
        """Waits until the change counter is another than `seen`, or `timeout` seconds; returns the counter."""
        self._look()
        if self._counter != seen:
            return self._counter
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await waiter
        finally:
            self._waiters.discard(waiter)
        return self._counter

    async def _poll(self) -> None:
        while self._waiters:
            self._look()
            await asyncio.sleep(POLL_S)

    def _look(self) -> None:
        if (version := self._read()) == self._last:
            return
        self._last = version
        self._counter += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def close(self) -> None:
        """Stops looking."""
        if self._poller:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
