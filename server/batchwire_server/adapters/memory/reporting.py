"""Reports of workers in memory. Each is fenced and is one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from batchwire_server.adapters.memory.batches import transition, wind_down
from batchwire_server.adapters.memory.files import add_file
from batchwire_server.adapters.memory.tables import Memory, Tables
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, BatchOutputs, ShardReport
from batchwire_server.core.records import InputError, Shard, Task, TaskKind, total_usage


def _record_batch(tables: Tables, batch_id: str, reports: Sequence[ShardReport], now: int) -> None:
    batch = tables.batches[batch_id]
    segments = [report.segment for report in reports if report.segment]
    # A known segment was recorded by a commit whose confirmation was lost.
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
        transition(tables, batch_id, BatchStatus.FINALIZING, now)
        tables.add_task(TaskKind.FINALIZE, batch, now)


class MemoryReporting:
    """TaskReporting in memory."""

    _memory: Memory

    async def accept(self, task: Task, model: str | None, shards: Sequence[tuple[str, Shard]]) -> None:
        """See TaskReporting."""
        total = sum(shard.lines for _, shard in shards)
        async with self._memory.write() as tables:
            now = self._memory.now()
            tables.end_task(task)
            values = {"model": model, "total": total, "open_shards": len(shards)}
            batch = transition(tables, task.batch_id, BatchStatus.IN_PROGRESS, now, **values)
            if batch is None:
                raise LeaseLostError
            for shard_model, shard in shards:
                tables.add_task(TaskKind.RUN, batch, now, model=shard_model, shard=shard)

    async def reject(self, task: Task, errors: Sequence[InputError]) -> None:
        """See TaskReporting."""
        async with self._memory.write() as tables:
            tables.end_task(task)
            if transition(tables, task.batch_id, BatchStatus.FAILED, self._memory.now(), errors=tuple(errors)) is None:
                raise LeaseLostError
            tables.drop_tasks(task.batch_id)

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        """See TaskReporting."""
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
                # A recorded line resets the crashes, unless the shard is quarantined.
                if report.segment and queued.task.crashes < QUARANTINE_AFTER_CRASHES:
                    tables.tasks[queued.task.id] = replace(queued, task=replace(queued.task, crashes=0))
            for batch_id, group in of_batch.items():
                _record_batch(tables, batch_id, group, self._memory.now())
        return lost

    async def expire(self, task: Task) -> None:
        """See TaskReporting."""
        async with self._memory.write() as tables:
            tables.end_task(task)
            wind_down(tables, task.batch_id, BatchStatus.FINALIZING, self._memory.now())

    async def finish(self, task: Task, status: BatchStatus, outputs: BatchOutputs, lifetime: int) -> None:
        """See TaskReporting."""
        output, error = outputs.output, outputs.error
        async with self._memory.write() as tables:
            now = self._memory.now()
            tables.end_task(task)
            for file in (output, error):
                if file:
                    add_file(tables, file, now, lifetime)
            batch = transition(
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

    async def complete(self, task: Task) -> None:
        """See TaskReporting."""
        async with self._memory.write() as tables:
            del tables.tasks[tables.held(task).task.id]
