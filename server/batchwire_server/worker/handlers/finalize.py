"""Handles `finalize` tasks: merges segments into output and error file, and ends the batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from itertools import groupby

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.blob_writer import HashingBlobWriter
from batchwire_server.core.errors import LeaseLostError
from batchwire_server.core.lifecycle import BatchStatus, outcome
from batchwire_server.core.limits import NO_LIMIT
from batchwire_server.core.lines import read_call, shard_lines
from batchwire_server.core.ports import BatchOutputs, BlobStore, CompletedShard, TaskQueue
from batchwire_server.core.records import Batch, File, Segment, Task
from batchwire_server.core.results import UnrunReason, error_line
from batchwire_server.core.segments import SegmentHeader, Slice, decode_header, merge

log = logging.getLogger(__name__)

SMALL_SEGMENT = 1024 * 1024
"""Segments up to this size are read at once, larger ones slice by slice."""


class _Source:
    """A segment that is being merged."""

    def __init__(self, segment: Segment, blobs: BlobStore) -> None:
        self._segment = segment
        self._blobs = blobs
        self._data: bytes | None = None
        self.header = SegmentHeader([], [], [])

    async def open(self) -> None:
        segment = self._segment
        small = segment.bytes <= SMALL_SEGMENT
        end = segment.header_bytes + (segment.bytes if small else 0)
        read = await self._blobs.read(segment.blob_key, 0, end)
        self.header = decode_header(read[: segment.header_bytes])
        self._data = read[segment.header_bytes :] if small else None

    async def read(self, start: int, end: int) -> bytes:
        if self._data is not None:
            return self._data[start:end]
        skipped = self._segment.header_bytes
        return await self._blobs.read(self._segment.blob_key, skipped + start, skipped + end)


class _ResultFile:
    """The output or the error file of a batch. It is created with its first line."""

    def __init__(self, batch: Batch, name: str, blobs: BlobStore, stack: AsyncExitStack) -> None:
        self._batch = batch
        self._name = name
        self._blobs = blobs
        self._stack = stack
        self._id = ids.file_id()
        self._writer: HashingBlobWriter | None = None
        self._lines = 0

    @property
    def _key(self) -> str:
        return blob_keys.file_key(self._id)

    async def write(self, data: bytes, lines: int) -> None:
        if self._writer is None:
            opening = HashingBlobWriter(self._blobs, self._key, max_bytes=NO_LIMIT)
            self._writer = await self._stack.enter_async_context(opening)
        await self._writer.write(data)
        self._lines += lines

    async def commit(self) -> File | None:
        """Commit the blob. Return the file's row, or None if it has no line."""
        if self._writer is None:
            return None
        await self._writer.commit()
        return File(
            id=self._id,
            tenant=self._batch.tenant,
            filename=f"{self._batch.id}_{self._name}.jsonl",
            purpose="batch_output",
            bytes=self._writer.size,
            sha256=self._writer.sha256,
            line_count=self._lines,
            blob_key=self._key,
        )


class Finalizer:
    """The handler of `finalize`.

    Args:
        queue, blobs: the adapters that it works with.
        default_lifetime: seconds that the files are kept, unless the batch has its own.
    """

    def __init__(self, queue: TaskQueue, blobs: BlobStore, *, default_lifetime: int) -> None:
        self._queue = queue
        self._blobs = blobs
        self._default_lifetime = default_lifetime

    async def __call__(self, task: Task) -> None:
        """Write the files of a batch, and end it.

        Raises:
            LeaseLostError: another worker holds the task. The files are deleted.
        """
        batch = await self._queue.batch_of(task)
        unrun = 0
        async with AsyncExitStack() as stack:
            output = _ResultFile(batch, "output", self._blobs, stack)
            errors = _ResultFile(batch, "error", self._blobs, stack)
            shards = await self._queue.shards_of(batch.id)
            for _, window in groupby(shards, key=lambda run: run.shard.window):
                unrun += await self._merge_window(batch, list(window), output, errors)
            outputs = BatchOutputs(await output.commit(), await errors.commit(), unrun)
        status = outcome(batch.status, unrun, validated=batch.in_progress_at is not None)
        lifetime = batch.output_lifetime or self._default_lifetime
        finishing = asyncio.ensure_future(self._queue.finish(task, status, outputs, lifetime))
        try:
            await asyncio.shield(finishing)
        except asyncio.CancelledError:
            await asyncio.wait({finishing})  # until it has ended, the files may or may not belong to the batch
            raise
        finally:
            if finishing.done() and isinstance(finishing.exception(), LeaseLostError):
                await self._blobs.delete([file.blob_key for file in (outputs.output, outputs.error) if file])
        answered, failed = (file.line_count if file else 0 for file in (outputs.output, outputs.error))
        log.info(
            "batch %s is %s: %d lines in the output, %d in the error file, %d of these never ran",
            batch.id,
            status,
            answered,
            failed,
            unrun,
        )

    async def _merge_window(
        self, batch: Batch, shards: Sequence[CompletedShard], output: _ResultFile, errors: _ResultFile
    ) -> int:
        """Write the lines of one window of the input. Return how many of them never ran."""
        sources = [_Source(segment, self._blobs) for run in shards for segment in run.segments]
        for source in sources:
            await source.open()
        ran = {number for source in sources for number in source.header.lines}
        unrun: dict[int, bytes] = {}
        if len(ran) < sum(run.shard.lines for run in shards):
            unrun = await self._unrun_lines(batch, shards, ran)
        for step in merge([source.header for source in sources], list(unrun)):
            if isinstance(step, Slice):
                file = output if step.ok else errors
                await file.write(await sources[step.source].read(step.start, step.end), step.lines)
            else:
                await errors.write(unrun[step], 1)
        return len(unrun)

    async def _unrun_lines(self, batch: Batch, shards: Iterable[CompletedShard], ran: set[int]) -> dict[int, bytes]:
        """Return an error line for each line of a window that never ran, by line number."""
        code: UnrunReason = "batch_cancelled" if batch.status is BatchStatus.CANCELLING else "batch_expired"
        shard = next(iter(shards)).shard
        piece = await self._blobs.read(batch.input_key or "", shard.offset, shard.offset + shard.length)
        return {
            number: error_line(ids.line_id(batch.id, number), bytes(read_call(text).custom_id), code)
            for number, text in shard_lines(piece, shard)
            if number not in ran
        }
