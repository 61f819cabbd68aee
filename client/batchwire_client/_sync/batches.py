"""Batches, blocking."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._bytes import lines_of, parsed
from batchwire_client._statuses import error_file_of, output_file_of
from batchwire_client._sync.files import Files
from batchwire_client._transport.cursors import ResultsCursor, WatchCursor
from batchwire_client._transport.sync_calls import Calls


class Batches:
    """Creates, lists, watches and cancels batches."""

    def __init__(self, channel: grpc.Channel, calls: Calls, files: Files) -> None:
        self._stub = v1.BatchServiceStub(channel)
        self._calls = calls
        self._files = files

    def create(
        self,
        input_file: str | v1.File,
        endpoint: str = "/v1/chat/completions",
        *,
        completion_window: str = "24h",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
    ) -> v1.Batch:
        """Create a batch and return it at once.

        The call is not retried, since a second one would create a second batch.

        Args:
            input_file: A file with the purpose "batch", or its id.
            endpoint: The path that every line calls.
            completion_window: Time allowed: an integer followed by s, m, h or d, up to "336h".
            metadata: At most 16 pairs; keys up to 64 characters, values up to 512.
            output_expires_after: Seconds until the output and the error file are deleted, counted
                from their creation, from 3600 to 2592000. Default: 30 days.

        Raises:
            InvalidRequest: The server refuses an argument. Errors in lines are reported later, in
                the batch's `errors`.
        """
        request = _requests.create_batch(input_file, endpoint, completion_window, metadata, output_expires_after)
        return self._calls.call(self._stub.CreateBatch, request)

    def retry(
        self,
        batch: str | v1.Batch,
        *,
        completion_window: str = "",
        metadata: Mapping[str, str] | None = None,
        output_expires_after: int | None = None,
    ) -> v1.Batch:
        """Create a batch from the lines in the error file of an ended batch; return it at once.

        The call is not retried.

        Args:
            batch: The ended batch, or its id.
            completion_window: Time allowed. Default: that of the ended batch.
            metadata: As in `create`. The metadata of the ended batch is not copied.
            output_expires_after: As in `create`. Default: that of the ended batch.

        Raises:
            NotFound: The batch does not exist.
            Conflict: The batch has not ended, none of its lines failed, or its files are deleted.
        """
        request = _requests.retry_batch(batch, completion_window, metadata, output_expires_after)
        return self._calls.call(self._stub.CreateBatch, request)

    def get(self, batch_id: str) -> v1.Batch:
        """Return a batch. Raises NotFound."""
        return self._calls.call_with_retries(self._stub.GetBatch, v1.GetBatchRequest(batch_id=batch_id))

    def list(self, *, page_size: int | None = None) -> Iterator[v1.Batch]:
        """Yield all batches of the caller, newest first. Pages are fetched when they are needed.

        Args:
            page_size: Batches per call to the server, from 1 to 100. Default: 20.
        """
        after: str | None = ""
        while after is not None:
            page = self._calls.call_with_retries(
                self._stub.ListBatches, v1.ListBatchesRequest(limit=page_size, after=after)
            )
            yield from page.data
            after = _requests.next_page(page)

    def cancel(self, batch_id: str) -> v1.Batch:
        """Cancel a batch and return it. Raises NotFound, or Conflict if it has ended."""
        return self._calls.call_with_retries(self._stub.CancelBatch, v1.CancelBatchRequest(batch_id=batch_id))

    def watch(self, batch_id: str, *, repeats: bool = False) -> Iterator[v1.Batch]:
        """Yield the batch now and after each change, until its status is terminal.

        The stream reconnects when the connection breaks or is silent.

        Args:
            batch_id: Id of the batch.
            repeats: Also yield unchanged snapshots, which the server sends as heartbeats.

        Raises:
            NotFound: The batch does not exist.
            ServerUnavailable: The server could not be reached for too long.
        """
        return self._calls.follow(self._stub.WatchBatch, WatchCursor(batch_id, repeats=repeats))

    def wait(self, batch_id: str, timeout: float | None = None) -> v1.Batch:
        """Wait until a batch has ended, with success or not, and return it.

        Args:
            batch_id: Id of the batch.
            timeout: The largest number of seconds to wait. Default: no limit.

        Raises:
            DeadlineExceeded: The batch has not ended in time. It continues.
            NotFound: The batch does not exist.
            ServerUnavailable: The server could not be reached for too long.
        """
        snapshots = self._calls.follow(self._stub.WatchBatch, WatchCursor(batch_id, repeats=False), timeout)
        return deque(snapshots, maxlen=1).pop()

    def stream_results(self, batch_id: str, *, offset: int = 0) -> Iterator[v1.StreamResultsResponse]:
        """Yield finished lines while the batch runs, in the order in which they finished.

        Each message has the next bytes in `data`, which may end within a line, and in
        `next_offset` the offset that resumes after them. The stream ends with the batch.

        Args:
            batch_id: Id of the batch.
            offset: The last `next_offset`. Default: the first finished line.

        Raises:
            NotFound: The batch does not exist.
            Conflict: The batch ended more than an hour ago; read its files.
            InvalidRequest: The offset is beyond the finished lines.
        """
        return self._calls.follow(self._stub.StreamResults, ResultsCursor(batch_id, offset))

    def results(self, batch_id: str) -> Iterator[dict[str, Any]]:
        """Yield finished lines, parsed: `{"id", "custom_id", "response", "error"}`."""
        return parsed(lines_of(message.data for message in self.stream_results(batch_id)))

    def output(self, batch: str | v1.Batch) -> Iterator[dict[str, Any]]:
        """Yield the parsed lines of an ended batch's output file, in the order of the input.

        Yields nothing if the batch has no output file.

        Args:
            batch: The batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        return self._lines(output_file_of(self._described(batch)))

    def errors(self, batch: str | v1.Batch) -> Iterator[dict[str, Any]]:
        """Yield the parsed lines of an ended batch's error file, in the order of the input.

        Yields nothing if the batch has no error file.

        Args:
            batch: The batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        return self._lines(error_file_of(self._described(batch)))

    def _described(self, batch: str | v1.Batch) -> v1.Batch:
        return self.get(batch) if isinstance(batch, str) else batch

    def _lines(self, file_id: str | None) -> Iterator[dict[str, Any]]:
        return parsed(lines_of(self._files.download(file_id))) if file_id is not None else iter(())
