"""The batches of a client for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from batchwire import v1

from batchwire_client import _requests as _messages
from batchwire_client._async.files import AsyncFiles
from batchwire_client._bytes import Lines, parsed
from batchwire_client._statuses import TERMINAL, error_file_of, output_file_of
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.cursors import ResultsCursor, WatchCursor
from batchwire_client.errors import DeadlineExceeded


class AsyncBatches:
    """Creates batches and follows them."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls, files: AsyncFiles) -> None:
        self._stub = v1.BatchServiceStub(channel)
        self._calls = calls
        self._files = files

    async def create(
        self,
        input_file: str | v1.File,
        endpoint: str = "/v1/chat/completions",
        *,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
    ) -> v1.Batch:
        """Creates a batch and returns at once. Not repeated: a second call would make a second batch.

        Args:
            input_file: A file of purpose "batch", or its id.
            endpoint: The path that every line calls.
            completion_window: The time given: a whole number and s, m, h or d, up to "336h".
            metadata: At most 16 pairs, keys to 64 characters, values to 512.
            output_expires_after: Seconds from their creation after which output and error file are deleted, from 3600
                to 2592000; by default 30 days.

        Raises:
            InvalidRequest: The server does not take one of the arguments. Wrong lines show later, in the batch's `errors`.
        """
        request = _messages.create_batch(input_file, endpoint, completion_window, metadata, output_expires_after)
        return await self._calls.once(self._stub.CreateBatch, request)

    async def retry(
        self,
        batch: str | v1.Batch,
        *,
        completion_window: str = "",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
    ) -> v1.Batch:
        """Creates a batch of those lines of an ended one that are in its error file, and returns at once. Not repeated.

        Args:
            batch: The batch that has ended, or its id.
            completion_window: The time given; by default as much as that batch had.
            metadata: As in `create`; that batch's is not taken over.
            output_expires_after: As in `create`; by default as in that batch.

        Raises:
            NotFound: There is no such batch.
            Conflict: It has not ended, none of its lines failed, or its files are gone.
        """
        request = _messages.retry_batch(batch, completion_window, metadata, output_expires_after)
        return await self._calls.once(self._stub.CreateBatch, request)

    async def get(self, batch_id: str) -> v1.Batch:
        """Returns a batch as it is now. Raises NotFound."""
        return await self._calls.safely(self._stub.GetBatch, v1.GetBatchRequest(batch_id=batch_id))

    async def list(self, *, page_size: int | None = None) -> AsyncIterator[v1.Batch]:
        """Gives all batches of the caller, newest first; pages are fetched as they are needed.

        Args:
            page_size: Batches per call to the server, from 1 to 100; by default 20.
        """
        after: str | None = ""
        while after is not None:
            page = await self._calls.safely(self._stub.ListBatches, v1.ListBatchesRequest(limit=page_size, after=after))
            for batch in page.data:
                yield batch
            after = _messages.next_page(page)

    async def cancel(self, batch_id: str) -> v1.Batch:
        """Asks for a batch to end early and returns it as it now stands. Raises NotFound, or Conflict when it has ended."""
        return await self._calls.safely(self._stub.CancelBatch, v1.CancelBatchRequest(batch_id=batch_id))

    def watch(self, batch_id: str, *, repeats: bool = False) -> AsyncIterator[v1.Batch]:
        """Gives the batch as it is now, then after each change, and ends after the snapshot of a terminal status.

        A connection that breaks or goes silent is dialled again.

        Args:
            batch_id: Id of the batch.
            repeats: Also give the snapshots in which nothing changed, which the server sends as a sign of life.

        Raises:
            NotFound: There is no such batch.
            ServerUnavailable: The server could not be reached for too long.
        """
        return self._calls.follow(self._stub.WatchBatch, WatchCursor(batch_id, repeats=repeats))

    async def wait(self, batch_id: str, timeout: float | None = None) -> v1.Batch:
        """Waits until a batch has ended, well or not, and returns it.

        Args:
            batch_id: Id of the batch.
            timeout: Seconds to wait at most; by default without end.

        Raises:
            DeadlineExceeded: The batch had not ended by then; it goes on.
            NotFound: There is no such batch.
            ServerUnavailable: The server could not be reached for too long.
        """
        try:
            async with asyncio.timeout(timeout):
                return [batch async for batch in self.watch(batch_id) if batch.status in TERMINAL].pop()
        except TimeoutError as error:
            raise DeadlineExceeded(f"batch {batch_id} had not ended after {timeout} s") from error

    def stream_results(self, batch_id: str, *, offset: int = 0) -> AsyncIterator[v1.StreamResultsResponse]:
        """Gives finished lines while the batch runs, in the order in which they finished, and ends with the batch.

        Each message holds the next bytes in `data`, perhaps ending within a line, and in `next_offset` where a later call goes on.

        Args:
            batch_id: Id of the batch.
            offset: Where to go on: the last `next_offset`; by default from the first finished line.

        Raises:
            NotFound: There is no such batch.
            Conflict: The batch ended more than an hour ago; read its files.
            InvalidRequest: An offset beyond what is finished.
        """
        return self._calls.follow(self._stub.StreamResults, ResultsCursor(batch_id, offset))

    async def results(self, batch_id: str) -> AsyncIterator[dict[str, Any]]:
        """Gives the finished lines of `stream_results`, parsed: `{"id", "custom_id", "response", "error"}`."""
        lines = Lines()
        async for message in self.stream_results(batch_id):
            for line in parsed(lines.feed(message.data)):
                yield line
        for line in parsed(lines.last()):
            yield line

    async def output(self, batch: str | v1.Batch) -> AsyncIterator[dict[str, Any]]:
        """Gives the lines of an ended batch's output file, parsed, in the order of the input; none when there is no such file.

        Args:
            batch: The batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        async for line in self._lines(output_file_of(await self._described(batch))):
            yield line

    async def errors(self, batch: str | v1.Batch) -> AsyncIterator[dict[str, Any]]:
        """Gives the lines of an ended batch's error file, parsed, in the order of the input; none when there is no such file.

        Args:
            batch: The batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        async for line in self._lines(error_file_of(await self._described(batch))):
            yield line

    async def _described(self, batch: str | v1.Batch) -> v1.Batch:
        return await self.get(batch) if isinstance(batch, str) else batch

    async def _lines(self, file_id: str | None) -> AsyncIterator[dict[str, Any]]:
        if file_id is None:
            return
        lines = Lines()
        async for chunk in self._files.download(file_id):
            for line in parsed(lines.feed(chunk)):
                yield line
        for line in parsed(lines.last()):
            yield line
