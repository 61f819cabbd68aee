"""A fake api in memory, served by a real gRPC server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from batchwire import v1
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

NOW = Timestamp(seconds=1_700_000_000)
LATER = Timestamp(seconds=1_702_592_000)
CHUNK_BYTES = 64 * 1024


@dataclass
class Failure:
    """An error that a method returns."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


async def abort(context: Any, failure: Failure) -> NoReturn:
    """End a call as the api does, with an ErrorInfo if there is a reason."""
    trailing: tuple[tuple[str, bytes], ...] = ()
    if failure.reason or failure.metadata:
        info = ErrorInfo(reason=failure.reason, domain="batchwire.dev", metadata=dict(failure.metadata))
        details = AnyMessage()
        details.Pack(info)
        status = Status(code=failure.code.value[0], message=failure.message, details=[details])
        trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(failure.code, failure.message, trailing)
    raise AssertionError("abort always raises")


@dataclass
class Upload:
    """One call of UploadFile or AddUploadPart as the api received it."""

    spec: v1.UploadFileSpec = field(default_factory=v1.UploadFileSpec)
    upload_id: str = ""
    content: bytearray = field(default_factory=bytearray)
    message_sizes: list[int] = field(default_factory=list)
    outcome: str = "open"


class FakeApi(
    v1.FileServiceServicer,
    v1.UploadServiceServicer,
    v1.BatchServiceServicer,
    v1.ModelServiceServicer,
):
    """Stores what it receives, and returns the errors in `failures`."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.files: dict[str, v1.File] = {}
        self.batches: dict[str, v1.Batch] = {}
        self.failures: dict[str, Failure] = {}
        self.requests: list[Message] = []
        self.metadata: dict[str, str] = {}
        self.uploads: list[Upload] = []
        self.max_upload_bytes = 1 << 40
        self.snapshots: asyncio.Queue[v1.Batch | Failure | None] = asyncio.Queue()
        self.lines: asyncio.Queue[bytes | Failure | None] = asyncio.Queue()
        self.hold = asyncio.Event()
        self.hold.set()
        self.cancelled: list[str] = []

    def serve(self, server: grpc.aio.Server) -> None:
        v1.add_FileServiceServicer_to_server(self, server)
        v1.add_UploadServiceServicer_to_server(self, server)
        v1.add_BatchServiceServicer_to_server(self, server)
        v1.add_ModelServiceServicer_to_server(self, server)
        v1.add_WebhookServiceServicer_to_server(_webhooks_of(self), server)

    def store(self, content: bytes, filename: str = "in.jsonl", purpose: str = "batch") -> v1.File:
        file = v1.File(
            id=f"file-{len(self.files)}",
            bytes=len(content),
            created_at=NOW,
            expires_at=LATER,
            filename=filename,
            purpose=purpose,
            status=v1.FILE_STATUS_PROCESSED,
            sha256=hashlib.sha256(content).hexdigest(),
            line_count=content.count(b"\n"),
        )
        self.contents[file.id], self.files[file.id] = content, file
        return file

    async def _enter(self, context: Any, request: Message | None = None) -> None:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        if request is not None:
            self.requests.append(request)
        name = context._rpc_event.method().decode().rpartition("/")[2] if hasattr(context, "_rpc_event") else ""
        failure = self.failures.get(name) or self.failures.get("*")
        if failure is not None:
            await abort(context, failure)
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled.append(type(request).__name__)
            raise

    async def _file(self, context: Any, file_id: str) -> v1.File:
        if file_id not in self.files:
            message = f"No such File object: {file_id}"
            await abort(context, Failure(grpc.StatusCode.NOT_FOUND, message, "FILE_NOT_FOUND", {"param": "id"}))
        return self.files[file_id]

    async def _batch(self, context: Any, batch_id: str) -> v1.Batch:
        if batch_id not in self.batches:
            message = f"No batch found with id '{batch_id}'."
            await abort(context, Failure(grpc.StatusCode.NOT_FOUND, message, "BATCH_NOT_FOUND"))
        return self.batches[batch_id]

    async def _receive(self, upload: Upload, requests: Any, context: Any) -> None:
        self.uploads.append(upload)
        try:
            async for request in requests:
                kind = request.WhichOneof("payload")
                if kind == "spec":
                    upload.spec.MergeFrom(request.spec)
                elif kind == "upload_id":
                    upload.upload_id = request.upload_id
                else:
                    upload.content += request.data
                    upload.message_sizes.append(len(request.data))
                if len(upload.content) > self.max_upload_bytes:
                    upload.outcome = "refused"
                    invalid = grpc.StatusCode.INVALID_ARGUMENT
                    await abort(context, Failure(invalid, "File is too large.", "FILE_TOO_LARGE"))
            # A cancelled stream first looks ended. grpc.aio cancels the handler a moment later,
            # while a real api still stores the upload.
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            upload.outcome = "cancelled"
            raise
        upload.outcome = "half-closed"

    async def UploadFile(self, request_iterator: Any, context: Any) -> v1.File:  # noqa: N802 - a servicer's names
        await self._enter(context)
        upload = Upload()
        await self._receive(upload, request_iterator, context)
        if not upload.spec.purpose:
            missing = Failure(
                grpc.StatusCode.INVALID_ARGUMENT,
                "'purpose' is a required property",
                "MISSING_REQUIRED_PARAMETER",
                {"param": "purpose"},
            )
            await abort(context, missing)
        upload.outcome = "committed"
        return self.store(bytes(upload.content), upload.spec.filename, upload.spec.purpose)

    async def GetFile(self, request: v1.GetFileRequest, context: Any) -> v1.File:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return await self._file(context, request.file_id)

    async def ListFiles(self, request: v1.ListFilesRequest, context: Any) -> v1.ListFilesResponse:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.ListFilesResponse(**_page(list(self.files.values()), request))

    async def DeleteFile(self, request: v1.DeleteFileRequest, context: Any) -> v1.DeleteFileResponse:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        del self.files[(await self._file(context, request.file_id)).id]
        return v1.DeleteFileResponse(id=request.file_id, deleted=True)

    async def DownloadFile(  # noqa: N802 - a servicer's names
        self, request: v1.DownloadFileRequest, context: Any
    ) -> AsyncIterator[v1.DownloadFileResponse]:
        await self._enter(context, request)
        file = await self._file(context, request.file_id)
        yield v1.DownloadFileResponse(file=file)
        end = request.offset + request.limit if request.HasField("limit") else file.bytes
        content = self.contents[file.id][request.offset : end]
        try:
            for at in range(0, len(content), CHUNK_BYTES):
                yield v1.DownloadFileResponse(data=content[at : at + CHUNK_BYTES])
            if "after content" in self.failures:
                await abort(context, self.failures["after content"])
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append("DownloadFile")
            raise

    async def CreateUpload(self, request: v1.CreateUploadRequest, context: Any) -> v1.Upload:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.Upload(
            id="upload_1",
            bytes=request.bytes,
            created_at=NOW,
            expires_at=LATER,
            filename=request.filename,
            purpose=request.purpose,
            status=v1.UPLOAD_STATUS_PENDING,
        )

    async def AddUploadPart(self, request_iterator: Any, context: Any) -> v1.UploadPart:  # noqa: N802 - a servicer's names
        await self._enter(context)
        upload = Upload()
        await self._receive(upload, request_iterator, context)
        upload.outcome = "committed"
        return v1.UploadPart(id=f"part_{len(self.uploads)}", created_at=NOW, upload_id=upload.upload_id)

    async def CompleteUpload(self, request: v1.CompleteUploadRequest, context: Any) -> v1.Upload:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        numbers = [int(part.removeprefix("part_")) - 1 for part in request.part_ids]
        file = self.store(b"".join(bytes(self.uploads[number].content) for number in numbers))
        upload = v1.Upload(
            id=request.upload_id, bytes=file.bytes, created_at=NOW, expires_at=LATER, filename=file.filename
        )
        upload.MergeFrom(v1.Upload(purpose="batch", status=v1.UPLOAD_STATUS_COMPLETED, file=file))
        return upload

    async def CancelUpload(self, request: v1.CancelUploadRequest, context: Any) -> v1.Upload:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.Upload(id=request.upload_id, created_at=NOW, expires_at=LATER, status=v1.UPLOAD_STATUS_CANCELLED)

    async def CreateBatch(self, request: v1.CreateBatchRequest, context: Any) -> v1.Batch:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        if request.require_input_file:
            await self._file(context, request.input_file_id)
        batch = v1.Batch(
            id=f"batch_{len(self.batches)}",
            endpoint=request.endpoint,
            input_file_id=request.input_file_id,
            completion_window=request.completion_window,
            status=v1.BATCH_STATUS_VALIDATING,
            created_at=NOW,
            expires_at=LATER,
            metadata=request.metadata,
            replace=request.replace if request.HasField("replace") else None,
        )
        if request.input_file_id in self.files:
            batch.input_file_name = self.files[request.input_file_id].filename
        self.batches[batch.id] = batch
        return batch

    async def GetBatch(self, request: v1.GetBatchRequest, context: Any) -> v1.Batch:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return await self._batch(context, request.batch_id)

    async def ListBatches(self, request: v1.ListBatchesRequest, context: Any) -> v1.ListBatchesResponse:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.ListBatchesResponse(**_page(list(self.batches.values()), request))

    async def CancelBatch(self, request: v1.CancelBatchRequest, context: Any) -> v1.Batch:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        batch = await self._batch(context, request.batch_id)
        if batch.status == v1.BATCH_STATUS_COMPLETED:
            message = "Cannot cancel a batch with status 'completed'."
            failed = grpc.StatusCode.FAILED_PRECONDITION
            await abort(context, Failure(failed, message, "BATCH_NOT_CANCELLABLE", {"status": "completed"}))
        batch.status = v1.BATCH_STATUS_CANCELLING
        return batch

    async def WatchBatch(self, request: v1.WatchBatchRequest, context: Any) -> AsyncIterator[v1.Batch]:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        await self._batch(context, request.batch_id)
        async for snapshot in self._queued(self.snapshots, context, "WatchBatch"):
            yield snapshot

    async def StreamResults(  # noqa: N802 - a servicer's names
        self, request: v1.StreamResultsRequest, context: Any
    ) -> AsyncIterator[v1.StreamResultsResponse]:
        await self._enter(context, request)
        await self._batch(context, request.batch_id)
        async for line in self._queued(self.lines, context, "StreamResults"):
            yield v1.StreamResultsResponse(data=line)

    async def _queued(self, queue: asyncio.Queue[Any], context: Any, name: str) -> AsyncIterator[Any]:
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Failure):
                    await abort(context, item)
                yield item
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(name)
            raise

    async def ListModels(self, request: v1.ListModelsRequest, context: Any) -> v1.ListModelsResponse:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.ListModelsResponse(data=[v1.Model(id="echo", created=NOW, owned_by="batchwire")])

    async def GetModel(self, request: v1.GetModelRequest, context: Any) -> v1.Model:  # noqa: N802 - a servicer's names
        await self._enter(context, request)
        return v1.Model(id=request.model_id, created=NOW, owned_by="batchwire")


def _webhooks_of(api: FakeApi) -> Any:
    """Return a WebhookService with empty replies, or with the api's failures."""

    def answering(response: type[Message]) -> Any:
        async def method(_self: Any, request: Message, context: Any) -> Message:
            await api._enter(context, request)
            return response()

        return method

    (service,) = v1.webhook_service_pb2.DESCRIPTOR.services_by_name.values()
    methods = {method.name: answering(getattr(v1, method.output_type.name)) for method in service.methods}
    return type("Webhooks", (v1.WebhookServiceServicer,), methods)()


def _page(everything: list[Any], request: Any) -> dict[str, Any]:
    start = 1 + next((at for at, each in enumerate(everything) if each.id == request.after), -1)
    end = start + request.limit if request.HasField("limit") else len(everything)
    data = everything[start:end]
    ids = {"first_id": data[0].id, "last_id": data[-1].id} if data else {}
    return {"data": data, "has_more": end < len(everything), **ids}
