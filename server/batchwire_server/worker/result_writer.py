"""Makes finished lines durable: about once a second, and at once when a shard is done."""

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

AGAIN_S = 0.2
MAX_HELD_BYTES = 8 * 1024 * 1024
"""Results that are so large together are written at once."""

SEGMENTS_AT_ONCE = 8
"""The results of so many runs are copied and stored at the same time: all at once, they would be in memory twice."""


@dataclass(slots=True)
class _Entry:
    """What is being recorded of a run: the same, under the same key, however often it takes."""

    run: ShardRun
    report: ShardReport
    lines: int
    over: bool


class ResultWriter:
    """Writes segments of all runs together, bytes first, then one transaction.

    Args:
        queue, blobs: where to.
        interval: seconds between writes.
        on_closed: called with each run that is over, because it is done or because its lease was lost.
    """

    def __init__(
        self, queue: TaskQueue, blobs: BlobStore, interval: float, on_closed: Callable[[ShardRun], None]
    ) -> None:
        self._queue = queue
        self._blobs = blobs
        self._interval = interval
        self._on_closed = on_closed
        self._runs: set[ShardRun] = set()
        self._pending: dict[ShardRun, _Entry] = {}
        self._held_bytes = 0
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._storing = asyncio.Semaphore(SEGMENTS_AT_ONCE)
        self.stalled = False  # whether the last write failed: more results would only pile up

    def add(self, run: ShardRun) -> None:
        """Takes charge of a run."""
        self._runs.add(run)
        self.note(run)

    def note(self, run: ShardRun) -> None:
        """Takes note of a run's progress.

        A run that has settled waits for the next write, together with others, as long as more of its batch is being run here.
        """
        self._held_bytes += run.uncounted_bytes
        run.uncounted_bytes = 0
        if self._held_bytes >= MAX_HELD_BYTES or (run.settled and self._was_last(run)):
            self._wake.set()

    def _was_last(self, run: ShardRun) -> bool:
        return run.aborted or all(other.settled for other in self._runs if other.batch.id == run.batch.id)

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.write()
            except Exception:
                log.exception("finished lines could not be made durable; they are kept, and it is tried again")
                self.stalled = True
                await asyncio.sleep(self._interval)
                self._wake.set()
            else:
                self.stalled = False

    async def write(self) -> None:
        """Makes all that has finished durable. Raises what the store or the blobs raise; nothing is lost then."""
        async with self._writing:
            for run in [run for run in self._runs if run.aborted]:
                self._close(run)
            due = [run for run in self._runs if run.finished or run.settled]
            prepared = await asyncio.gather(*(self._prepare(run) for run in due), return_exceptions=True)
            entries = [entry for entry in prepared if isinstance(entry, _Entry)]
            lost = await self._queue.record([entry.report for entry in entries]) if entries else set()
            for entry in entries:
                self._recorded(entry, lost=entry.report.task in lost)
            for error in prepared:
                if isinstance(error, BaseException):
                    raise error

    async def write_all(self, end: float) -> None:
        """Writes until nothing that has finished is left, or until `end` by the monotonic clock has passed. Raises what the last write raised."""
        while any(run.finished or run.settled for run in self._runs):
            try:
                await self.write()
            except Exception:
                if time.monotonic() > end:
                    raise
                log.warning("finished lines could not be made durable; trying again", exc_info=True)
                await asyncio.sleep(AGAIN_S)

    async def _prepare(self, run: ShardRun) -> _Entry:
        async with self._storing:
            return await self._stored(run)

    async def _stored(self, run: ShardRun) -> _Entry:
        """Stores a run's next segment, unless one still waits to be recorded."""
        task = run.task
        if run in self._pending:
            return self._pending[run]
        lines = list(run.finished)
        entry = _Entry(run, ShardReport(task, None, run.done), len(lines), over=run.settled)
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

    def _recorded(self, entry: _Entry, *, lost: bool) -> None:
        run = entry.run
        self._pending.pop(run, None)
        if lost:
            run.abort()
        else:
            self._let_go(run, entry.lines)
        if lost or entry.over:
            self._close(run)
        else:
            self.note(run)  # what was the last to settle may have done so meanwhile

    def _let_go(self, run: ShardRun, lines: int | None = None) -> None:
        """Forgets a run's first results: that many, or all."""
        self._held_bytes -= sum(len(line.text) for line in run.finished[:lines])
        del run.finished[:lines]

    def _close(self, run: ShardRun) -> None:
        self._let_go(run)
        self._runs.discard(run)
        self._pending.pop(run, None)
        self._on_closed(run)
