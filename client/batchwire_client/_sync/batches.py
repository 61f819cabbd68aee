"""Batches: create, retry, watch, cancel, read results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from batchwire import v1

from batchwire_client import _requests
from batchwire_client._statuses import error_file_of, output_file_of
from batchwire_client._sync.files import Files
from batchwire_client._transport.cursors import ResultsCursor, WatchCursor
from batchwire_client._transport.sync_calls import Calls
from batchwire_client._transport.sync_streams import json_lines
from batchwire_client.errors import DeadlineExceeded


class Batches:
    """The batches of the caller: create, retry, watch, cancel, read results."""

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
        """Create a batch and return it at once. Not retried: that could create a second batch.

        Invalid lines of the input are reported later, in the `errors` of the batch.

        Args:
            input_file: a file with the purpose "batch", or its id.
            endpoint: the path that every line calls.
            completion_window: time allowed for the batch: an integer followed by s, m, h or d, up
                to "336h".
            metadata: key-value pairs attached to the batch: at most 16, with keys of up to 64 and
                values of up to 512 characters.
            output_expires_after: lifetime of the output and the error file in seconds, 3600 to
                2592000. Default: 30 days.

        Raises:
            InvalidRequest: The server refuses an argument.
            RateLimited: The caller created too many batches within the last hour.
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
        """Create a batch from the lines in the error file of an ended batch. Not retried.

        Args:
            batch: the ended batch, or its id.
            completion_window: time allowed for the new batch. Default: that of the ended batch.
            metadata: as in `create`. The metadata of the ended batch is not copied.
            output_expires_after: as in `create`. Default: that of the ended batch.

        Raises:
            NotFound: There is no such batch.
            Conflict: The batch has not ended, no line failed, or its files were deleted.
        """
        request = _requests.retry_batch(batch, completion_window, metadata, output_expires_after)
        return self._calls.call(self._stub.CreateBatch, request)

    def get(self, batch_id: str) -> v1.Batch:
        """Return the current state of a batch. Raise NotFound if there is no such batch."""
        return self._calls.call_with_retries(self._stub.GetBatch, v1.GetBatchRequest(batch_id=batch_id))

    def list(self, *, page_size: int | None = None) -> Iterator[v1.Batch]:
        """Yield all batches of the caller, newest first. Pages are fetched as needed.

        Args:
            page_size: batches per page, 1 to 100. Default: 20.
        """
        after: str | None = ""
        while after is not None:
            page = self._calls.call_with_retries(
                self._stub.ListBatches, v1.ListBatchesRequest(limit=page_size, after=after)
            )
            yield from page.data
            after = _requests.next_page(page)

    def cancel(self, batch_id: str) -> v1.Batch:
        """Cancel a batch and return its current state. Finished lines are kept.

        Raises:
            NotFound: There is no such batch.
            Conflict: The batch has ended.
        """
        return self._calls.call_with_retries(self._stub.CancelBatch, v1.CancelBatchRequest(batch_id=batch_id))

    def watch(self, batch_id: str, *, repeats: bool = False) -> Iterator[v1.Batch]:
        """Yield the current state of a batch, then its state after each change, until it has ended.

        The last snapshot has a terminal status. A broken or silent connection is opened again.

        Args:
            batch_id: id of the batch.
            repeats: yield unchanged snapshots too, which the server sends every 15 seconds or so.

        Raises:
            NotFound: There is no such batch.
            ServerUnavailable: The retry policy allows no further attempt.
        """
        return self._calls.follow(self._stub.WatchBatch, WatchCursor(batch_id, repeats=repeats))

    def wait(self, batch_id: str, timeout: float | None = None) -> v1.Batch:
        """Wait until a batch has ended, with any terminal status, and return it.

        Args:
            batch_id: id of the batch.
            timeout: seconds to wait. Default: without limit.

        Raises:
            DeadlineExceeded: The batch has not ended after `timeout`. It continues to run.
            NotFound: There is no such batch.
            ServerUnavailable: The retry policy allows no further attempt.
        """
        snapshots = self._calls.follow(self._stub.WatchBatch, WatchCursor(batch_id, repeats=False), timeout)
        try:
            return deque(snapshots, maxlen=1).pop()
        except DeadlineExceeded as error:
            if timeout is None:  # the server's own deadline
                raise
            raise DeadlineExceeded(f"batch {batch_id} has not ended after {timeout} s") from error

    def stream_results(self, batch_id: str, *, offset: int = 0) -> Iterator[v1.StreamResultsResponse]:
        """Yield finished lines as bytes, in the order in which they finished, until the batch ends.

        `data` of a message has the next bytes, and may end within a line. `next_offset` is the
        `offset` with which a later call resumes.

        Args:
            batch_id: id of the batch.
            offset: the last `next_offset` received. Default: start at the first finished line.

        Raises:
            NotFound: There is no such batch.
            Conflict: The batch ended too long ago, by default an hour. Read its files instead.
            InvalidRequest: `offset` is beyond the last finished line.
            ServerUnavailable: The retry policy allows no further attempt.
        """
        return self._calls.follow(self._stub.StreamResults, ResultsCursor(batch_id, offset))

    def results(self, batch_id: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of `stream_results` as objects with id, custom_id, response and error.

        Raises:
            NotFound: There is no such batch.
            Conflict: The batch ended too long ago, by default an hour. Read its files instead.
            ServerUnavailable: The retry policy allows no further attempt.
        """
        return json_lines(message.data for message in self.stream_results(batch_id))

    def output(self, batch: str | v1.Batch) -> Iterator[dict[str, Any]]:
        """Yield the lines of the output file of an ended batch as objects, in input order.

        Yield nothing if the batch has no such file.

        Args:
            batch: the ended batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        return self._lines(output_file_of(self._resolve(batch)))

    def errors(self, batch: str | v1.Batch) -> Iterator[dict[str, Any]]:
        """Yield the lines of the error file of an ended batch as objects, in input order.

        Yield nothing if the batch has no such file.

        Args:
            batch: the ended batch, or its id.

        Raises:
            ValueError: The batch has not ended.
        """
        return self._lines(error_file_of(self._resolve(batch)))

    def _resolve(self, batch: str | v1.Batch) -> v1.Batch:
        return self.get(batch) if isinstance(batch, str) else batch

    def _lines(self, file_id: str | None) -> Iterator[dict[str, Any]]:
        return json_lines(self._files.download(file_id)) if file_id is not None else iter(())
