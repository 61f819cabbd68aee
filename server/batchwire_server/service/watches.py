"""Watching: snapshots of batches as they change, however many look on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

from batchwire_server.core.errors import batch_not_found
from batchwire_server.core.lifecycle import TERMINAL
from batchwire_server.core.ports import BatchStore, ChangeFeed
from batchwire_server.core.records import Batch

log = logging.getLogger(__name__)

REPEAT_S = 15.0
LOOK_S = 1.0
GATHER_S = 0.05
GATHER_PER_WATCHER_S = 0.0002
"""Changes that come within so long after a snapshot share the next: long enough that sending them is a small part of the work."""


class _Topic:
    """A batch that somebody watches."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.watchers = 0
        self.changed = asyncio.Event()
        self.told = time.monotonic()

    def publish(self, batch: Batch) -> None:
        self.batch = batch
        self.told = time.monotonic()
        self.changed.set()
        self.changed = asyncio.Event()


class Watches:
    """Asks the store once per change for all watchers together.

    Args:
        store: the batches.
        changes: says when to ask.
        repeat: seconds after which an unchanged snapshot is sent again.
    """

    def __init__(self, store: BatchStore, changes: ChangeFeed, repeat: float = REPEAT_S) -> None:
        self._store = store
        self._changes = changes
        self._repeat = repeat
        self._topics: dict[str, _Topic] = {}
        self._following: asyncio.Task[None] | None = None

    async def watch(self, tenant: str, batch_id: str) -> AsyncGenerator[Batch, None]:
        """Yields a batch as it is, then as it changes, until it has ended. Raises BatchwireError."""
        known = self._topics.get(batch_id)
        if known is not None and known.batch.tenant == tenant:  # others watch it just now
            batch, topic = known.batch, known
        else:
            found = await self._store.get_batch(tenant, batch_id)
            if found is None:
                raise batch_not_found(batch_id)
            batch, topic = found, self._topics.setdefault(batch_id, _Topic(found))
        topic.watchers += 1
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())
        try:
            while True:
                changed = topic.changed
                if topic.batch.revision > batch.revision:
                    batch = topic.batch
                yield batch
                if batch.status in TERMINAL:
                    return
                if topic.batch.revision <= batch.revision:
                    await changed.wait()
        finally:
            topic.watchers -= 1
            if not topic.watchers and self._topics.get(batch_id) is topic:
                del self._topics[batch_id]

    async def _follow(self) -> None:
        seen = 0
        while self._topics:
            try:
                seen = await self._changes.wait(seen, min(LOOK_S, self._repeat))
                await self._refresh()
            except Exception:
                log.exception("the watched batches could not be read; trying again")
                await asyncio.sleep(LOOK_S)
            self._tell_again()
            watchers = sum(topic.watchers for topic in self._topics.values())
            await asyncio.sleep(min(GATHER_S, watchers * GATHER_PER_WATCHER_S))

    async def _refresh(self) -> None:
        revisions = {batch_id: topic.batch.revision for batch_id, topic in self._topics.items()}
        for batch in await self._store.changed_batches(revisions):
            if topic := self._topics.get(batch.id):
                topic.publish(batch)

    def _tell_again(self) -> None:
        """Sends the snapshots again that have not changed for long: for all watchers of a batch at once, with one clock."""
        before = time.monotonic() - self._repeat
        for topic in self._topics.values():
            if topic.told <= before:
                topic.publish(topic.batch)

    async def close(self) -> None:
        """Stops asking."""
        if self._following:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
