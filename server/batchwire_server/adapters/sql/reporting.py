"""Reports of workers in SQL. Each is fenced and is one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from msgspec import structs
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from batchwire_server.adapters.sql.batches import add_finalizing, task_values, transition, wind_down
from batchwire_server.adapters.sql.engine import Database
from batchwire_server.adapters.sql.files import insert_file
from batchwire_server.adapters.sql.leasing import end_task, is_held
from batchwire_server.adapters.sql.rows import SEGMENT_FIELDS, batch_record
from batchwire_server.adapters.sql.tables import BATCH, SEGMENT, TASK
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.ports import QUARANTINE_AFTER_CRASHES, BatchOutputs, ShardReport
from batchwire_server.core.records import InputError, Shard, Task, TaskKind, total_usage


class SqlReporting:
    """TaskReporting in SQL."""

    _db: Database

    async def accept(self, task: Task, model: str | None, shards: Sequence[tuple[str, Shard]]) -> None:
        """See TaskReporting."""
        total = sum(shard.lines for _, shard in shards)
        async with self._db.write(work=True) as connection:
            await end_task(connection, task)
            now = await self._db.now(connection)
            values = {"model": model, "total": total, "open_shards": len(shards)}
            batch = await transition(connection, str(task.batch_id), BatchStatus.IN_PROGRESS, now, **values)
            if batch is None:
                raise LeaseLostError
            rows = [
                task_values(TaskKind.RUN, batch, now, model=shard_model, shard=asdict(shard))
                for shard_model, shard in shards
            ]
            await connection.execute(insert(TASK), rows)

    async def reject(self, task: Task, errors: Sequence[InputError]) -> None:
        """See TaskReporting."""
        rows = [asdict(error) for error in errors]
        async with self._db.write(work=True) as connection:
            await end_task(connection, task)
            now = await self._db.now(connection)
            if await transition(connection, str(task.batch_id), BatchStatus.FAILED, now, errors=rows) is None:
                raise LeaseLostError
            await connection.execute(delete(TASK).where(TASK.c.batch_id == task.batch_id))

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        """See TaskReporting."""
        async with self._db.write(work=any(report.done for report in reports)) as connection:
            ids = [report.task.id for report in reports]
            leased = select(TASK.c.id, TASK.c.epoch, TASK.c.crashes).where(TASK.c.id.in_(ids), TASK.c.state == "leased")
            held = {row.id: row for row in await connection.execute(leased.with_for_update())}
            of_batch: dict[str, list[ShardReport]] = defaultdict(list)
            for report in reports:
                row = held.get(report.task.id)
                if row is None or row.epoch != report.task.epoch:
                    continue
                of_batch[str(report.task.batch_id)].append(report)
                # A recorded line resets the crashes, unless the shard is quarantined.
                if report.segment and 0 < row.crashes < QUARANTINE_AFTER_CRASHES:
                    await connection.execute(update(TASK).where(TASK.c.id == row.id).values(crashes=0))
            keys = [report.segment.blob_key for report in reports if report.segment]
            known = set(
                (await connection.execute(select(SEGMENT.c.blob_key).where(SEGMENT.c.blob_key.in_(keys)))).scalars()
            )
            # Batches are locked in the same order everywhere, so that no two workers deadlock.
            for batch_id in sorted(of_batch):
                await self._record_batch(connection, batch_id, of_batch[batch_id], known)
        kept = {report.task for group in of_batch.values() for report in group}
        return {report.task for report in reports} - kept

    async def _record_batch(
        self, connection: AsyncConnection, batch_id: str, reports: list[ShardReport], known: set[str]
    ) -> None:
        # A known segment was recorded by a commit whose confirmation was lost.
        segments = [report.segment for report in reports if report.segment and report.segment.blob_key not in known]
        done = [report.task.id for report in reports if report.done]
        usage = total_usage(segment.usage for segment in segments)
        size = sum(segment.bytes for segment in segments)
        added = {
            "completed": sum(segment.completed for segment in segments),
            "failed": sum(segment.failed for segment in segments),
            "result_bytes": size,
            "revision": 1,
            "open_shards": -len(done),
            **structs.asdict(usage),
        }
        grown = {name: BATCH.c[name] + value for name, value in added.items() if value}
        statement = update(BATCH).where(BATCH.c.id == batch_id).values(grown).returning(BATCH)
        batch = batch_record((await connection.execute(statement)).one())
        if segments:
            start = batch.result_bytes - size
            rows: list[dict[str, Any]] = []
            for segment in segments:
                values = {name: getattr(segment, name) for name in SEGMENT_FIELDS}
                tokens = structs.asdict(segment.usage)
                rows.append({**values, **tokens, "batch_id": batch_id, "start": start})
                start += segment.bytes
            await connection.execute(insert(SEGMENT), rows)
        if done:
            ended = {"state": "done", "lease_owner": None, "lease_until": None}
            await connection.execute(update(TASK).where(TASK.c.id.in_(done)).values(ended))
            if not batch.open_shards:
                now = await self._db.now(connection)
                await transition(connection, batch_id, BatchStatus.FINALIZING, now)
                await add_finalizing(connection, batch, now)

    async def expire(self, task: Task) -> None:
        """See TaskReporting."""
        async with self._db.write(work=True) as connection:
            await end_task(connection, task)
            now = await self._db.now(connection)
            await wind_down(connection, str(task.batch_id), BatchStatus.FINALIZING, now)

    async def finish(self, task: Task, status: BatchStatus, outputs: BatchOutputs, lifetime: int) -> None:
        """See TaskReporting."""
        async with self._db.write(work=True) as connection:
            await end_task(connection, task)
            now = await self._db.now(connection)
            for file in (outputs.output, outputs.error):
                if file:
                    await insert_file(connection, file, now, lifetime)
            batch = await transition(
                connection,
                str(task.batch_id),
                status,
                now,
                output_file_id=outputs.output and outputs.output.id,
                error_file_id=outputs.error and outputs.error.id,
                failed=BATCH.c.failed + outputs.unrun,
            )
            if batch is None:
                raise LeaseLostError
            await connection.execute(delete(TASK).where(TASK.c.batch_id == task.batch_id))

    async def complete(self, task: Task) -> None:
        """See TaskReporting."""
        async with self._db.write(quiet=True) as connection:
            if not (await connection.execute(delete(TASK).where(is_held(task)))).rowcount:
                raise LeaseLostError
