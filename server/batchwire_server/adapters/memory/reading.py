"""The state of the queue and of tasks in memory."""

from __future__ import annotations

from collections import defaultdict

from batchwire_server.adapters.memory.tables import Memory, Tables
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.ports import CONTROL_KINDS, CompletedShard, HeldTask
from batchwire_server.core.records import Batch, Segment, Task


def _segments_of(tables: Tables, task: Task) -> list[Segment]:
    return [one for (owner, _), one in tables.segments.items() if owner == task.batch_id and one.task_id == task.id]


class MemoryReading:
    """TaskReading in memory."""

    _memory: Memory

    async def held(self, worker: str) -> list[HeldTask]:
        """See TaskReading."""
        tables = await self._memory.read()
        held = []
        for queued in tables.held_by(worker):
            batch = tables.batches.get(queued.task.batch_id or "")
            held.append(HeldTask(queued.task.id, queued.task.epoch, batch.status if batch else None))
        return held

    async def quarantine_waits(self) -> bool:
        """See TaskReading."""
        tables, now = await self._memory.read(), self._memory.now()
        return any(queued.is_quarantined and queued.is_due(now) for queued in tables.tasks.values())

    async def overdue(self, seconds: float) -> bool:
        """See TaskReading."""
        tables, before = await self._memory.read(), self._memory.now() - int(seconds * 1000)
        waiting = (
            queued for queued in tables.tasks.values() if queued.state == "ready" and queued.task.kind in CONTROL_KINDS
        )
        return any(queued.not_before <= before for queued in waiting)

    async def model_shares(self) -> dict[str, int]:
        """See TaskReading."""
        workers: dict[str, set[str | None]] = defaultdict(set)
        for queued in (await self._memory.read()).leased_shards(self._memory.now()):
            workers[str(queued.task.model)].add(queued.lease_owner)
        return {model: len(owners) for model, owners in workers.items()}

    async def batch_of(self, task: Task) -> Batch:
        """See TaskReading."""
        batch = (await self._memory.read()).batches.get(task.batch_id or "")
        if batch is None:
            raise LeaseLostError
        return batch

    async def segments_of(self, task: Task) -> list[Segment]:
        """See TaskReading."""
        return _segments_of(await self._memory.read(), task)

    async def shards_of(self, batch_id: str) -> list[CompletedShard]:
        """See TaskReading."""
        tables = await self._memory.read()
        tasks = [queued.task for queued in tables.tasks_of(batch_id)]
        shards = [
            CompletedShard(task.model, task.shard, _segments_of(tables, task))
            for task in tasks
            if task.shard and task.model
        ]
        return sorted(shards, key=lambda run: run.shard.window)
