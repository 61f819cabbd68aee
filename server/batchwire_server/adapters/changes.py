"""Change feeds: called (memory), polling a counter (SQLite), notified (PostgreSQL)."""

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
    """The ChangeFeed whose owner calls `changed`: a counter, and the callers that wait for it."""

    def __init__(self) -> None:
        self._counter = 1
        self._waiters: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """Count a change, and wake all callers that wait."""
        self._counter += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _prepare(self) -> None:
        """Prepare to wait. Called whenever a caller starts to wait."""

    async def wait(self, seen: int, timeout: float) -> int:
        """See ChangeFeed."""
        self._prepare()
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
    """The ChangeFeed that polls a counter every 10 ms, once for all callers, while any waits.

    Args:
        read: returns a number that differs after the database has changed. Must not block.
    """

    def __init__(self, read: Callable[[], int]) -> None:
        super().__init__()
        self._read = read
        self._last = read()
        self._poller: asyncio.Task[None] | None = None

    def _prepare(self) -> None:
        self._read_counter()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        await asyncio.sleep(0)  # until the caller that started this task is a waiter
        while self._waiters:
            self._read_counter()
            await asyncio.sleep(POLL_S)

    def _read_counter(self) -> None:
        if (version := self._read()) != self._last:
            self._last = version
            self.changed()

    async def close(self) -> None:
        """Stop polling."""
        if self._poller:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller


class NotifiedChanges(Changes):
    """The ChangeFeed that receives notifications on a connection, while `run` runs.

    A broken connection is replaced. Notifications may have been missed meanwhile, so each new
    connection counts as a change.

    Args:
        listen: opens a connection. It calls its first argument at each notification, and its second
            when it breaks. Returns the function that closes it.
    """

    def __init__(
        self, listen: Callable[[Callable[[], None], Callable[[], None]], Awaitable[Callable[[], Awaitable[Any]]]]
    ) -> None:
        super().__init__()
        self._listen = listen

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            broken = asyncio.Event()
            try:
                close = await self._listen(self.changed, broken.set)
            except Exception:
                log.exception("cannot listen for changes of the database; retrying in %g s", RECONNECT_S)
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                self.changed()
                await broken.wait()
                log.warning("the connection that listens for changes of the database broke; reconnecting")
            finally:
                with suppress(Exception):
                    await close()
