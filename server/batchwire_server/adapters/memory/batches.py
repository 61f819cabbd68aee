"""Batches in memory, and the transitions of their status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchwire_server.adapters.memory.tables import Memory, Tables, insert, page_after
from batchwire_server.core.errors import idempotency_key_reused, too_many_batches
from batchwire_server.core.lifecycle import STAMPS, TERMINAL, BatchStatus, predecessors
from batchwire_server.core.limits import HOUR_MS, wait_for_room
from batchwire_server.core.ports import IdempotencyKey, Page
from batchwire_server.core.records import Batch, Segment, TaskKind
from batchwire_server.core.webhooks import LIFETIME_S, deliveries


def transition(tables: Tables, batch_id: str | None, status: BatchStatus, now: int, **values: Any) -> Batch | None:
    """Move a batch to `status`.

    Return it as it then is, or None if the transition is not allowed.
    """
    before = tables.batches.get(str(batch_id))
    if before is None or before.status not in predecessors(status):
        return None
    stamped = {STAMPS[status]: now, **values}
    batch = replace(before, status=status, revision=before.revision + 1, **stamped)
    tables.batches[batch.id] = batch
    if status in TERMINAL:
        queue_deliveries(tables, batch, now)
    return batch


def queue_deliveries(tables: Tables, batch: Batch, now: int) -> None:
    """Queue the webhook deliveries of a batch's end.

    They have no batch id: its tasks are deleted now.
    """
    wanted = ((each.id, each.event_types) for each in tables.endpoints.values() if each.tenant == batch.tenant)
    for delivery in deliveries(batch, now, wanted):
        deadline = now + LIFETIME_S * 1000
        tables.add_task(TaskKind.DELIVER, batch, now, batch_id=None, deadline=deadline, delivery=delivery)


def wind_down(tables: Tables, batch_id: str | None, status: BatchStatus, now: int) -> None:
    """End a batch early: drop what has not started, and leave leased shards to their workers.

    `status` is `cancelling`, or `finalizing` if the window has ended.
    """
    batch = transition(tables, batch_id, status, now)
    if batch is None:
        return
    dropped = 0
    for queued in tables.tasks_of(batch.id):
        unstarted = queued.is_shard and queued.state == "ready"
        if unstarted or (queued.task.kind is TaskKind.VALIDATE and queued.state != "done"):
            fenced = replace(queued.task, epoch=queued.task.epoch + 1)
            tables.tasks[fenced.id] = replace(queued, task=fenced, state="done")
            dropped += unstarted
    batch = replace(batch, open_shards=batch.open_shards - dropped)
    tables.batches[batch.id] = batch
    if not batch.open_shards:
        tables.add_task(TaskKind.FINALIZE, batch, now)


def _created_before(tables: Tables, tenant: str, idempotency_key: IdempotencyKey) -> Batch | None:
    fingerprint, batch_id = tables.calls.get((tenant, idempotency_key.key), ("", ""))
    if batch_id and fingerprint != idempotency_key.fingerprint:
        raise idempotency_key_reused(batch_id)
    return tables.batches.get(batch_id)


def _check_rate(tables: Tables, tenant: str, per_hour: int, now: int) -> None:
    """Raise BatchwireError if the tenant created `per_hour` batches within the last hour."""
    created = (batch.created_at for batch in tables.batches.values() if batch.tenant == tenant)
    recent = sorted((instant for instant in created if instant > now - HOUR_MS), reverse=True)
    if len(recent) >= per_hour:
        raise too_many_batches(per_hour, wait_for_room(recent[per_hour - 1], now))


def _owned(tables: Tables, tenant: str, batch_id: str) -> Batch | None:
    batch = tables.batches.get(batch_id)
    return batch if batch and batch.tenant == tenant else None


class MemoryBatches:
    """The BatchStore in memory."""

    _memory: Memory

    async def add_batch(self, batch: Batch, idempotency_key: IdempotencyKey | None = None, per_hour: int = 0) -> Batch:
        """See BatchStore."""
        async with self._memory.write() as tables:
            if idempotency_key and (known := _created_before(tables, batch.tenant, idempotency_key)):
                return known
            now = self._memory.now()
            if per_hour:
                _check_rate(tables, batch.tenant, per_hour, now)
            stored = replace(batch, created_at=now, expires_at=now + batch.window_seconds * 1000)
            insert(tables.batches, stored.id, stored)
            if idempotency_key:
                tables.calls[batch.tenant, idempotency_key.key] = (idempotency_key.fingerprint, stored.id)
            tables.add_task(TaskKind.VALIDATE, stored, now)
            tables.add_task(TaskKind.EXPIRE, stored, stored.expires_at)
        return stored

    async def find_batch(self, tenant: str, idempotency_key: IdempotencyKey) -> Batch | None:
        """See BatchStore."""
        return _created_before(await self._memory.read(), tenant, idempotency_key)

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """See BatchStore."""
        return _owned(await self._memory.read(), tenant, batch_id)

    async def list_batches(self, tenant: str, *, after: str, limit: int) -> Page[Batch] | None:
        """See BatchStore."""
        batches = (await self._memory.read()).batches
        shown = [batch for batch in batches.values() if batch.tenant == tenant]
        return page_after(shown, batches.get(after), tenant, after, limit)

    async def cancel_batch(self, tenant: str, batch_id: str) -> None:
        """See BatchStore."""
        async with self._memory.write() as tables:
            if _owned(tables, tenant, batch_id):
                wind_down(tables, batch_id, BatchStatus.CANCELLING, self._memory.now())

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        """See BatchStore."""
        batches = (await self._memory.read()).batches
        return [batches[name] for name, seen in revisions.items() if name in batches and batches[name].revision != seen]

    async def segments_from(self, batch_id: str, offset: int, limit: int) -> list[Segment]:
        """See BatchStore."""
        segments = (await self._memory.read()).segments.items()
        found = [one for (owner, _), one in segments if owner == batch_id and one.start + one.bytes > offset]
        return sorted(found, key=lambda segment: segment.start)[:limit]
