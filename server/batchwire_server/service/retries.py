"""Retries: writes an input file of those lines of an ended batch that are in its error file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from batchwire_server.core import blob_keys, ids
from batchwire_server.core.blob_writer import HashingBlobWriter
from batchwire_server.core.errors import BatchwireError, BlobNotFoundError, batch_not_retryable
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.limits import NO_LIMIT, Limits
from batchwire_server.core.lines import LineSplitter
from batchwire_server.core.ports import BlobStore, FileStore
from batchwire_server.core.records import Batch, File


class _Failed(msgspec.Struct, frozen=True):
    """What is read of a line of an error file."""

    id: str


_failed = msgspec.json.Decoder(_Failed)


class Retries:
    """Writes the input files of retries."""

    def __init__(self, files: FileStore, blobs: BlobStore, limits: Limits) -> None:
        self._files = files
        self._blobs = blobs
        self._limits = limits

    async def input_of(self, batch: Batch) -> File:
        """Write the lines of a batch that failed or never ran to a new file, in input order.

        Raises BatchwireError if the batch cannot be retried.
        """
        errors = await self._error_file(batch)
        file_id = ids.file_id()
        key = blob_keys.file_key(file_id)
        count = 0
        async with HashingBlobWriter(self._blobs, key, max_bytes=NO_LIMIT) as writer:
            try:
                async with aclosing(self._lines(batch, errors)) as lines:
                    async for line in lines:
                        await writer.write(line + b"\n")
                        count += 1
            except BlobNotFoundError:
                raise _refused(batch, "its input file has been deleted") from None
            await writer.commit()
        made = File(
            id=file_id,
            tenant=batch.tenant,
            filename=f"{batch.id}_retry.jsonl",
            purpose="batch",
            bytes=writer.size,
            sha256=writer.sha256,
            line_count=count,
            blob_key=key,
        )
        return await self._files.add_file(made, self._limits.batch_file_lifetime)

    async def forget(self, file: File) -> None:
        """Delete an input file that no batch uses."""
        await self._files.delete_file(file.tenant, file.id)

    async def _error_file(self, batch: Batch) -> File:
        if batch.status is BatchStatus.FAILED:
            raise _refused(batch, "its input was refused, so no line of it ran")
        if batch.status not in TERMINAL:
            raise _refused(batch, f"its status is '{batch.status}', and it has not ended yet")
        if batch.error_file_id is None or batch.input_key is None:
            raise _refused(batch, "none of its lines failed")
        file = await self._files.get_file(batch.tenant, batch.error_file_id)
        if file is None:
            raise _refused(batch, "its error file has been deleted")
        return file

    async def _lines(self, batch: Batch, errors: File) -> AsyncGenerator[bytes, None]:
        """Yield those lines of the input that the error file names. Both are in input order."""
        splitter = LineSplitter(self._limits.max_line_bytes)
        async with (
            aclosing(self._numbers(batch, errors)) as numbers,
            aclosing(self._blobs.stream(str(batch.input_key))) as blocks,
        ):
            wanted = await anext(numbers, None)
            async for block in blocks:
                for line in splitter.feed(block):
                    if line.number == wanted:
                        yield line.text or b""
                        wanted = await anext(numbers, None)
                if wanted is None:
                    return
            for line in splitter.finish():
                if line.number == wanted:
                    yield line.text or b""

    async def _numbers(self, batch: Batch, errors: File) -> AsyncGenerator[int, None]:
        """Yield the numbers of the lines that an error file names."""
        splitter = LineSplitter(NO_LIMIT)
        async with aclosing(self._blobs.stream(errors.blob_key)) as blocks:
            async for block in blocks:
                for line in splitter.feed(block):
                    yield ids.line_of(_failed.decode(line.text or b"").id, batch.id)


def _refused(batch: Batch, why: str) -> BatchwireError:
    return batch_not_retryable(batch.id, batch.status, why)
