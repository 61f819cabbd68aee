"""Watches: snapshots of batches as they change, with one query for all watchers."""

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
POLL_S = 1.0
"""Seconds after which the batches are read again even without a change notification."""

MAX_DELAY_S = 0.05
DELAY_PER_WATCHER_S = 0.0002
"""Pause after each round of snapshots. Changes within it share the next snapshot, which bounds the
share of time that goes into sending."""


class _Topic:
    """A watched batch and its watchers.

    `published` is the monotonic time of the last snapshot, in seconds.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.watchers = 0
        self.changed = asyncio.Event()
        self.published = time.monotonic()

    def publish(self, batch: Batch) -> None:
        self.batch = batch
        self.published = time.monotonic()
        self.changed.set()
        self.changed = asyncio.Event()


class Watches:
    """Reads the watched batches once per change, for all watchers of this process.

    Args:
        store: the batches.
        changes: the change notifications.
        repeat: seconds after which an unchanged snapshot is sent again, as a sign of life.
    """

    def __init__(self, store: BatchStore, changes: ChangeFeed, repeat: float = REPEAT_S) -> None:
        self._store = store
        self._changes = changes
        self._repeat = repeat
        self._topics: dict[str, _Topic] = {}
        self._following: asyncio.Task[None] | None = None

    async def watch(self, tenant: str, batch_id: str) -> AsyncGenerator[Batch, None]:
        """Yield a batch as it is, then whenever it changes, until it has ended.

        Raises BatchwireError if the tenant has no such batch.
        """
        known = self._topics.get(batch_id)
        if known is not None and known.batch.tenant == tenant:  # another watcher of the tenant keeps it current
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
                seen = await self._changes.wait(seen, min(POLL_S, self._repeat))
                await self._refresh()
            except Exception:
                log.exception("reading %d watched batches failed; trying again in %.0f s", len(self._topics), POLL_S)
                await asyncio.sleep(POLL_S)
            self._repeat_snapshots()
            watchers = sum(topic.watchers for topic in self._topics.values())
            await asyncio.sleep(min(MAX_DELAY_S, watchers * DELAY_PER_WATCHER_S))

    async def _refresh(self) -> None:
        revisions = {batch_id: topic.batch.revision for batch_id, topic in self._topics.items()}
        for batch in await self._store.changed_batches(revisions):
            if topic := self._topics.get(batch.id):
                topic.publish(batch)

    def _repeat_snapshots(self) -> None:
        """Send the snapshots again that have not changed for `repeat` seconds."""
        before = time.monotonic() - self._repeat
        for topic in self._topics.values():
            if topic.published <= before:
                topic.publish(topic.batch)

    async def close(self) -> None:
        """Stop following changes."""
        if self._following:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
