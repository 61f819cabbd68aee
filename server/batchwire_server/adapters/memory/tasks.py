"""The queue in memory: claim, lease, fence."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from batchwire_server.adapters.memory.tables import Memory, Queued, Tables
from batchwire_server.core.ports import CONTROL_KINDS, CRASH_DELAY_MS, QUARANTINE_AFTER_CRASHES, ClaimRequest, HeldTask
from batchwire_server.core.records import Task, TaskKind


def _shards_at_work(tables: Tables, now: int) -> list[Queued]:
    leased = [queued for queued in tables.tasks.values() if queued.state == "leased" and queued.is_shard]
    return [queued for queued in leased if queued.lease_until > now]


def _group(task: Task) -> tuple[str, str]:
    """Shards of one tenant and model are claimed one after the other."""
    return str(task.tenant), str(task.model)


def _soonest(tables: Tables) -> dict[tuple[str, str], int]:
    """Returns the earliest deadline of the shards that are ready, by group."""
    found: dict[tuple[str, str], int] = {}
    for queued in tables.tasks.values():
        if queued.is_shard and queued.state == "ready" and queued.task.deadline is not None:
            group = _group(queued.task)
            found[group] = min(found.get(group, queued.task.deadline), queued.task.deadline)
    return found


def _is_quarantined(queued: Queued) -> bool:
    return queued.is_shard and queued.crashes >= QUARANTINE_AFTER_CRASHES


def _held_by(tables: Tables, worker: str) -> list[Queued]:
    return [queued for queued in tables.tasks.values() if queued.state == "leased" and queued.lease_owner == worker]


class MemoryTasks:
    """The leasing part of the TaskQueue in memory."""

    _memory: Memory

    async def claim(self, request: ClaimRequest) -> list[Task]:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            now = self._memory.now()
            at_work = Counter(queued.task.tenant for queued in _shards_at_work(tables, now))
            soonest = _soonest(tables)

            def urgency(queued: Queued) -> tuple[Any, ...]:
                """What others have left comes first, then the tenant with the fewest shards at work, then whoever has the least time."""
                task, lapsed = queued.task, queued.state == "leased"
                group = (at_work[task.tenant], soonest[_group(task)], _group(task)) if task.shard and not lapsed else ()
                least = math.inf if task.deadline is None else task.deadline
                return task.kind is TaskKind.RUN, not lapsed, group, least, task.id

            due = [
                queued
                for queued in tables.tasks.values()
                if queued.task.kind in request.kinds
                and queued.is_due(now, request.expired_before)
                and queued.task.model not in request.full_models
                and (queued.task.model, queued.task.tenant) not in request.saturated
                and _is_quarantined(queued) == request.quarantined
            ]
            claimed: list[Task] = []
            of_model: Counter[str | None] = Counter()
            for queued in sorted(due, key=urgency):
                model = queued.task.model
                too_many = (
                    of_model[model] >= request.max_shards.get(str(model), request.limit) and queued.state == "ready"
                )
                if len(claimed) == request.limit or too_many:
                    continue
                of_model[model] += 1
                task = replace(
                    queued.task,
                    epoch=queued.task.epoch + 1,
                    attempts=queued.task.attempts + 1,
                    claimed_at=now,
                    crashes=queued.crashes,
                )
                until = now + int(request.ttl_s * 1000)
                tables.tasks[task.id] = replace(
                    queued, task=task, state="leased", lease_owner=request.worker, lease_until=until
                )
                claimed.append(task)
        return sorted(claimed, key=lambda task: task.id)

    async def quarantine_waits(self) -> bool:
        """See TaskQueue."""
        tables, now = await self._memory.read(), self._memory.now()
        return any(_is_quarantined(queued) and queued.is_due(now) for queued in tables.tasks.values())

    async def overdue(self, seconds: float) -> bool:
        """See TaskQueue."""
        tables, before = await self._memory.read(), self._memory.now() - int(seconds * 1000)
        waiting = (
            queued for queued in tables.tasks.values() if queued.state == "ready" and queued.task.kind in CONTROL_KINDS
        )
        return any(queued.not_before <= before for queued in waiting)

    async def mark_suspect(self, task: Task, line: int | None) -> None:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            queued = tables.held(task)
            tables.tasks[task.id] = replace(queued, task=replace(queued.task, suspect=line))

    async def renew(self, worker: str, ttl: float) -> int:
        """See TaskQueue."""
        async with self._memory.write(quiet=True) as tables:
            now = self._memory.now()
            for queued in _held_by(tables, worker):
                tables.tasks[queued.task.id] = replace(queued, lease_until=now + int(ttl * 1000))
        return now

    async def held(self, worker: str) -> list[HeldTask]:
        """See TaskQueue."""
        tables = await self._memory.read()
        held = []
        for queued in _held_by(tables, worker):
            batch = tables.batches.get(queued.task.batch_id or "")
            held.append(HeldTask(queued.task.id, queued.task.epoch, batch.status if batch else None))
        return held

    async def release(self, task: Task | HeldTask, delay: float = 0.0) -> None:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            due = self._memory.now() + int(delay * 1000)
            tables.tasks[task.id] = Queued(replace(tables.held(task).task, suspect=None), due)

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """See TaskQueue."""
        released = 0
        async with self._memory.write() as tables:
            now = self._memory.now()
            for queued in list(tables.tasks.values()):
                owner = queued.lease_owner or ""
                if queued.state != "leased" or (owner != worker and not owner.startswith(f"{worker}/")):
                    continue
                if crashed:
                    often = not queued.is_shard and queued.crashes >= QUARANTINE_AFTER_CRASHES
                    freed = Queued(replace(queued.task, crashes=queued.crashes), now + (CRASH_DELAY_MS if often else 0))
                else:
                    freed = Queued(replace(queued.task, suspect=None), queued.not_before)
                tables.tasks[queued.task.id] = freed
                released += 1
        return released

    async def complete(self, task: Task) -> None:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            del tables.tasks[tables.held(task).task.id]

    async def model_shares(self) -> dict[str, int]:
        """See TaskQueue."""
        workers: dict[str, set[str | None]] = defaultdict(set)
        for queued in _shards_at_work(await self._memory.read(), self._memory.now()):
            workers[str(queued.task.model)].add(queued.lease_owner)
        return {model: len(owners) for model, owners in workers.items()}
