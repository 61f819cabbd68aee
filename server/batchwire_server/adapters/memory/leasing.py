"""Leases of tasks in memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

from batchwire_server.adapters.memory.tables import Memory, Queued, Tables
from batchwire_server.core.ports import CRASH_DELAY_MS, QUARANTINE_AFTER_CRASHES, ClaimRequest, HeldTask
from batchwire_server.core.records import Task, TaskKind


def _pair(task: Task) -> tuple[str, str]:
    return str(task.tenant), str(task.model)


def _earliest_deadlines(tables: Tables) -> dict[tuple[str, str], int]:
    """Return the earliest deadline of the ready shards of each (tenant, model) pair."""
    found: dict[tuple[str, str], int] = {}
    for queued in tables.tasks.values():
        if queued.is_shard and queued.state == "ready" and queued.task.deadline is not None:
            pair = _pair(queued.task)
            found[pair] = min(found.get(pair, queued.task.deadline), queued.task.deadline)
    return found


class MemoryLeasing:
    """TaskLeasing in memory."""

    _memory: Memory

    async def claim(self, request: ClaimRequest) -> list[Task]:
        """See TaskLeasing."""
        async with self._memory.write() as tables:
            now = self._memory.now()
            leased_shards = Counter(queued.task.tenant for queued in tables.leased_shards(now))
            deadlines = _earliest_deadlines(tables)

            def urgency(queued: Queued) -> tuple[Any, ...]:
                """Return a sort key: expired lease, leased shards of the tenant, deadline."""
                task, expired = queued.task, queued.state == "leased"
                pair: tuple[Any, ...] = ()
                if task.shard and not expired:
                    pair = (leased_shards[task.tenant], deadlines[_pair(task)], _pair(task))
                deadline = math.inf if task.deadline is None else task.deadline
                return task.kind is TaskKind.RUN, not expired, pair, deadline, task.id

            due = [
                queued
                for queued in tables.tasks.values()
                if queued.task.kind in request.kinds
                and queued.is_due(now, request.expired_before)
                and queued.task.model not in request.full_models
                and (queued.task.model, queued.task.tenant) not in request.saturated
                and queued.is_quarantined == request.quarantined
            ]
            claimed: list[Task] = []
            of_model: Counter[str | None] = Counter()
            for queued in sorted(due, key=urgency):
                model = queued.task.model
                most = request.max_shards.get(str(model), request.limit)
                if len(claimed) == request.limit or (of_model[model] >= most and queued.state == "ready"):
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

    async def renew(self, worker: str, ttl: float) -> int:
        """See TaskLeasing."""
        async with self._memory.write(quiet=True) as tables:
            now = self._memory.now()
            for queued in tables.held_by(worker):
                tables.tasks[queued.task.id] = replace(queued, lease_until=now + int(ttl * 1000))
        return now

    async def release(self, task: Task | HeldTask, delay: float = 0.0) -> None:
        """See TaskLeasing."""
        async with self._memory.write() as tables:
            due = self._memory.now() + int(delay * 1000)
            tables.tasks[task.id] = Queued(replace(tables.held(task).task, suspect=None), due)

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """See TaskLeasing."""
        released = 0
        async with self._memory.write() as tables:
            now = self._memory.now()
            for queued in list(tables.tasks.values()):
                owner = queued.lease_owner or ""
                if queued.state != "leased" or (owner != worker and not owner.startswith(f"{worker}/")):
                    continue
                if crashed:
                    crash_loop = not queued.is_shard and queued.crashes >= QUARANTINE_AFTER_CRASHES
                    due = now + (CRASH_DELAY_MS if crash_loop else 0)
                    freed = Queued(replace(queued.task, crashes=queued.crashes), due)
                else:
                    freed = Queued(replace(queued.task, suspect=None), queued.not_before)
                tables.tasks[queued.task.id] = freed
                released += 1
        return released

    async def mark_suspect(self, task: Task, line: int | None) -> None:
        """See TaskLeasing."""
        async with self._memory.write() as tables:
            queued = tables.held(task)
            tables.tasks[task.id] = replace(queued, task=replace(queued.task, suspect=line))
