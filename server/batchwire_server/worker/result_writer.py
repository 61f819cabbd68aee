"""Writes finished lines: about once a second, and at once when a batch has no more lines here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from batchwire_server.core import blob_keys
from batchwire_server.core.ports import BlobStore, ShardReport, TaskQueue
from batchwire_server.core.records import Segment, total_usage
from batchwire_server.core.segments import encode_segment
from batchwire_server.worker.shard_run import ShardRun

log = logging.getLogger(__name__)

RETRY_S = 0.2
MAX_HELD_BYTES = 8 * 1024 * 1024
"""Results of this total size are written before the interval is over."""

SEGMENTS_AT_ONCE = 8
"""Segments that are encoded and stored at once. Each is in memory twice meanwhile."""


@dataclass(slots=True)
class _Pending:
    """A report of a run that is not recorded yet.

    Retries repeat it unchanged, under the same blob key, so that a report whose confirmation was
    lost counts once.

    Attributes:
        run: what it reports on.
        report: what the queue records, after the segment's blob is stored.
        lines: number of finished lines in the segment.
        settled: whether the run had settled when the report was made.
    """

    run: ShardRun
    report: ShardReport
    lines: int
    settled: bool


class ResultWriter:
    """Writes the segments of all runs together: first the blobs, then one transaction.

    Args:
        queue, blobs: where the segments are recorded, and where their bytes are stored.
        interval_s: seconds between writes.
        on_closed: called with each run that has ended: it has settled, or its lease was lost.

    Attributes:
        stalled: whether the last write failed, so that further results would only pile up.
    """

    def __init__(
        self, queue: TaskQueue, blobs: BlobStore, interval_s: float, on_closed: Callable[[ShardRun], None]
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._interval_s = interval_s
        self._on_closed = on_closed
        self._runs: set[ShardRun] = set()
        self._pending: dict[ShardRun, _Pending] = {}
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._storing = asyncio.Semaphore(SEGMENTS_AT_ONCE)
        self.stalled = False

    def add(self, run: ShardRun) -> None:
        """Write the results of a run from now on."""
        self._runs.add(run)
        self.note(run)

    def note(self, run: ShardRun) -> None:
        """Record the progress of a run.

        A settled run waits for the next regular write while other runs of its batch go on here.
        The last run of a batch is written at once.
        """
        self._held_bytes += run.uncounted_bytes
        run.uncounted_bytes = 0
        if self._held_bytes >= MAX_HELD_BYTES or (run.settled and self._is_last(run)):
            self._wake.set()

    def _is_last(self, run: ShardRun) -> bool:
        return run.aborted or all(other.settled for other in self._runs if other.batch.id == run.batch.id)

    async def run(self) -> None:
        """Write at each interval, or earlier when woken, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.write()
            except Exception:
                log.exception("writing results failed; they are kept in memory; trying again")
                self.stalled = True
                await asyncio.sleep(self._interval_s)
                self._wake.set()
            else:
                self.stalled = False

    async def write(self) -> None:
        """Write all finished lines.

        Raises:
            Exception: what the queue or the blob store raised. The lines are kept for the next try.
        """
        async with self._writing:
            for run in [run for run in self._runs if run.aborted]:
                self._close(run)
            due = [run for run in self._runs if run.finished or run.settled]
            prepared = await asyncio.gather(*(self._prepare(run) for run in due), return_exceptions=True)
            entries = [entry for entry in prepared if isinstance(entry, _Pending)]
            lost = await self._queue.record([entry.report for entry in entries]) if entries else set()
            for entry in entries:
                self._recorded(entry, lost=entry.report.task in lost)
            for error in prepared:
                if isinstance(error, BaseException):
                    raise error

    async def write_all(self, end: float) -> None:
        """Write until no finished line is left, retrying failed writes.

        Args:
            end: the time on the monotonic clock after which a failure is final.

        Raises:
            Exception: what the last write raised.
        """
        while any(run.finished or run.settled for run in self._runs):
            try:
                await self.write()
            except Exception:
                if time.monotonic() > end:
                    raise
                log.warning("writing results failed; trying again", exc_info=True)
                await asyncio.sleep(RETRY_S)

    async def _prepare(self, run: ShardRun) -> _Pending:
        async with self._storing:
            return await self._stored(run)

    async def _stored(self, run: ShardRun) -> _Pending:
        """Store a run's next segment, unless an earlier one is still to be recorded."""
        task = run.task
        if run in self._pending:
            return self._pending[run]
        lines = list(run.finished)
        entry = _Pending(run, ShardReport(task, None, run.done), len(lines), settled=run.settled)
        if lines:
            number, run.segments = run.segments, run.segments + 1
            header, data = encode_segment(lines)
            failed = sum(not line.ok for line in lines)
            segment = Segment(
                task_id=task.id,
                blob_key=blob_keys.segment_key(str(task.batch_id), task.id, task.epoch, number),
                header_bytes=len(header),
                bytes=len(data),
                completed=len(lines) - failed,
                failed=failed,
                usage=total_usage(line.usage for line in lines),
            )
            await self._blobs.put(segment.blob_key, header + data)
            entry.report = ShardReport(task, segment, entry.report.done)
        self._pending[run] = entry
        return entry

    def _recorded(self, entry: _Pending, *, lost: bool) -> None:
        run = entry.run
        self._pending.pop(run, None)
        if lost:
            run.abort()
        else:
            self._drop(run, entry.lines)
        if lost or entry.settled:
            self._close(run)
        else:
            self.note(run)  # it may have settled meanwhile, as the last of its batch

    def _drop(self, run: ShardRun, lines: int | None = None) -> None:
        """Drop a run's first results: this many, or all."""
        self._held_bytes -= sum(len(line.text) for line in run.finished[:lines])
        del run.finished[:lines]

    def _close(self, run: ShardRun) -> None:
        self._drop(run)
        self._runs.discard(run)
        self._pending.pop(run, None)
        self._on_closed(run)
