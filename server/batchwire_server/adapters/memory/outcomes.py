"""What workers report, in memory: every write is fenced, and all that belongs together is one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from batchwire_server.adapters.memory.batches import enter, wind_down
from batchwire_server.adapters.memory.files import add_file
from batchwire_server.adapters.memory.tables import Memory, Tables
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, BatchOutputs, CompletedShard, ShardReport
from batchwire_server.core.records import Batch, InputError, Segment, Shard, Task, TaskKind, total_usage


def _record_batch(tables: Tables, batch_id: str, reports: Sequence[ShardReport], now: int) -> None:
    batch = tables.batches[batch_id]
    segments = [report.segment for report in reports if report.segment]
    # A segment that is known was recorded by a commit whose answer was lost.
    new = [segment for segment in segments if (batch_id, segment.blob_key) not in tables.segments]
    start = batch.result_bytes
    for segment in new:
        tables.segments[batch_id, segment.blob_key] = replace(segment, start=start)
        start += segment.bytes
    done = [report.task for report in reports if report.done]
    for task in done:
        tables.end_task(task)
    batch = replace(
        batch,
        completed=batch.completed + sum(segment.completed for segment in new),
        failed=batch.failed + sum(segment.failed for segment in new),
        usage=total_usage([batch.usage, *(segment.usage for segment in new)]),
        result_bytes=start,
        open_shards=batch.open_shards - len(done),
        revision=batch.revision + 1,
    )
    tables.batches[batch_id] = batch
    if not batch.open_shards:
        enter(tables, batch_id, BatchStatus.FINALIZING, now)
        tables.add_task(TaskKind.FINALIZE, batch, now)


def _segments_of(tables: Tables, task: Task) -> list[Segment]:
    return [one for (owner, _), one in tables.segments.items() if owner == task.batch_id and one.task_id == task.id]


class MemoryOutcomes:
    """The reporting part of the TaskQueue in memory."""

    _memory: Memory

    async def batch_of(self, task: Task) -> Batch:
        """See TaskQueue."""
        batch = (await self._memory.read()).batches.get(task.batch_id or "")
        if batch is None:
            raise LeaseLostError
        return batch

    async def accept(self, task: Task, model: str | None, shards: Sequence[tuple[str, Shard]]) -> None:
        """See TaskQueue."""
        total = sum(shard.lines for _, shard in shards)
        async with self._memory.write() as tables:
            now = self._memory.now()
            tables.end_task(task)
            values = {"model": model, "total": total, "open_shards": len(shards)}
            batch = enter(tables, task.batch_id, BatchStatus.IN_PROGRESS, now, **values)
            if batch is None:
                raise LeaseLostError
            for shard_model, shard in shards:
                tables.add_task(TaskKind.RUN, batch, now, model=shard_model, shard=shard)

    async def reject(self, task: Task, faults: Sequence[InputError]) -> None:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            tables.end_task(task)
            if enter(tables, task.batch_id, BatchStatus.FAILED, self._memory.now(), errors=tuple(faults)) is None:
                raise LeaseLostError
            tables.drop_tasks(task.batch_id)

    async def segments_of(self, task: Task) -> list[Segment]:
        """See TaskQueue."""
        return _segments_of(await self._memory.read(), task)

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        """See TaskQueue."""
        of_batch: dict[str, list[ShardReport]] = defaultdict(list)
        lost = set()
        async with self._memory.write() as tables:
            for report in reports:
                try:
                    queued = tables.held(report.task)
                except LeaseLostError:
                    lost.add(report.task)
                    continue
                of_batch[str(report.task.batch_id)].append(report)
                if (
                    report.segment and queued.task.crashes < QUARANTINE_AFTER_CRASHES
                ):  # it gets on, whatever ended its last holders
                    tables.tasks[queued.task.id] = replace(queued, task=replace(queued.task, crashes=0))
            for batch_id, group in of_batch.items():
                _record_batch(tables, batch_id, group, self._memory.now())
        return lost

    async def expire(self, task: Task) -> None:
        """See TaskQueue."""
        async with self._memory.write() as tables:
            tables.end_task(task)
            wind_down(tables, task.batch_id, BatchStatus.FINALIZING, self._memory.now())

    async def shards_of(self, batch_id: str) -> list[CompletedShard]:
        """See TaskQueue."""
        tables = await self._memory.read()
        tasks = [queued.task for queued in tables.tasks_of(batch_id)]
        shards = [
            CompletedShard(task.model, task.shard, _segments_of(tables, task))
            for task in tasks
            if task.shard and task.model
        ]
        return sorted(shards, key=lambda run: run.shard.window)

    async def finish(self, task: Task, status: BatchStatus, outputs: BatchOutputs, lifetime: int) -> None:
        """See TaskQueue."""
        output, error = outputs.output, outputs.error
        async with self._memory.write() as tables:
            now = self._memory.now()
            tables.end_task(task)
            for file in (output, error):
                if file:
                    add_file(tables, file, now, lifetime)
            batch = enter(
                tables,
                task.batch_id,
                status,
                now,
                output_file_id=output and output.id,
                error_file_id=error and error.id,
            )
            if batch is None:
                raise LeaseLostError
            tables.batches[batch.id] = replace(batch, failed=batch.failed + outputs.unrun)
            tables.drop_tasks(task.batch_id)
