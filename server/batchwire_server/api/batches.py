"""BatchService of the protocol, over the use cases of `service/batches.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from batchwire import v1

from batchwire_server.api.auth import Context, tenant_of
from batchwire_server.api.convert import batch_message, lifetime, line_rules, page_fields, page_limit
from batchwire_server.core.records import Batch
from batchwire_server.service.batches import Batches, BatchSpec
from batchwire_server.service.results import Results
from batchwire_server.service.watches import Watches


class BatchServicer(v1.BatchServiceServicer):
    """The RPCs of BatchService."""

    def __init__(self, batches: Batches, watches: Watches, results: Results) -> None:
        self._batches = batches
        self._watches = watches
        self._results = results
        self._latest: tuple[Batch, v1.Batch] | None = None

    async def CreateBatch(self, request: v1.CreateBatchRequest, context: Context) -> v1.Batch:
        """See BatchService."""
        spec = BatchSpec(
            input_file_id=request.input_file_id,
            endpoint=request.endpoint,
            completion_window=request.completion_window,
            metadata=dict(request.metadata),
            output_lifetime=lifetime(request, "output_expires_after"),
            replace_model=request.replace.model or None,
            line_rules=line_rules(request.line_rules) if request.HasField("line_rules") else None,
            require_input_file=request.require_input_file,
            retry_of=request.retry_of or None,
        )
        return batch_message(await self._batches.create(tenant_of(context), spec, request.idempotency_key))

    async def GetBatch(self, request: v1.GetBatchRequest, context: Context) -> v1.Batch:
        """See BatchService."""
        return batch_message(await self._batches.get(tenant_of(context), request.batch_id))

    async def ListBatches(self, request: v1.ListBatchesRequest, context: Context) -> v1.ListBatchesResponse:
        """See BatchService."""
        page = await self._batches.list(tenant_of(context), limit=page_limit(request), after=request.after)
        batches = [batch_message(batch) for batch in page.items]
        return v1.ListBatchesResponse(**page_fields(batches, has_more=page.has_more))

    async def CancelBatch(self, request: v1.CancelBatchRequest, context: Context) -> v1.Batch:
        """See BatchService."""
        return batch_message(await self._batches.cancel(tenant_of(context), request.batch_id))

    async def WatchBatch(self, request: v1.WatchBatchRequest, context: Context) -> AsyncIterator[v1.Batch]:
        """See BatchService."""
        async with aclosing(self._watches.watch(tenant_of(context), request.batch_id)) as snapshots:
            async for batch in snapshots:
                yield self._snapshot(batch)

    def _snapshot(self, batch: Batch) -> v1.Batch:
        """Return the message of a snapshot, built once for all watchers that get it in a row."""
        if self._latest is None or self._latest[0] is not batch:
            self._latest = batch, batch_message(batch)
        return self._latest[1]

    async def StreamResults(
        self, request: v1.StreamResultsRequest, context: Context
    ) -> AsyncIterator[v1.StreamResultsResponse]:
        """See BatchService."""
        stream = self._results.stream(tenant_of(context), request.batch_id, request.offset)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                yield v1.StreamResultsResponse(data=piece.data, next_offset=piece.next_offset)
