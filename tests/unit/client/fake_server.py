"""A Batchwire server in memory, on a real socket. Batches follow a plan, calls fail on demand."""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import grpc
from batchwire import v1
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.unit.client.plans import Plan, Step, changed, completes

M = TypeVar("M")


def abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, message: str = "", reason: str = "", **metadata: str
) -> NoReturn:
    """End a call with a status, as the real server does."""
    status = status_pb2.Status(code=code.value[0], message=message)
    if reason:
        packed = AnyMessage()
        packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="batchwire.dev", metadata=metadata))
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


@dataclass
class Failure:
    """Makes a call fail after `after` messages of its stream: with a code, or by silence."""

    code: grpc.StatusCode | None = None  # None ends the stream early with OK
    after: int = 0
    silent: bool = False
    message: str = "made to fail"
    reason: str = ""

    def apply(self, context: grpc.ServicerContext) -> None:
        if self.silent:
            gone = threading.Event()
            context.add_callback(gone.set)
            gone.wait()
        elif self.code is not None:
            abort(context, self.code, self.message, self.reason)


class FakeServer(v1.FileServiceServicer, v1.UploadServiceServicer, v1.BatchServiceServicer, v1.ModelServiceServicer):
    """The services of Batchwire, with all calls and requests recorded."""

    def __init__(self, port: int = 0) -> None:
        self.plan: Plan = completes
        self.files: dict[str, tuple[v1.File, bytes]] = {}
        self.batches: dict[str, v1.Batch] = {}
        self.steps: dict[str, deque[Step]] = {}
        self.results: dict[str, list[v1.StreamResultsResponse]] = {}
        self.uploads: dict[str, v1.Upload] = {}
        self.parts: dict[str, bytes] = {}
        self.models = [v1.Model(id="echo", owned_by="batchwire"), v1.Model(id="qwen3", owned_by="lab")]
        self.calls: list[str] = []
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: dict[str, str | bytes] = {}
        self.message_sizes: list[int] = []
        self.download_bytes = 4
        self.failures: dict[str, deque[Failure]] = defaultdict(deque)
        self.ended = threading.Semaphore(0)
        self._lock = threading.RLock()
        self._uploaded: dict[grpc.ServicerContext, str] = {}
        self._ids = 0
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        v1.add_FileServiceServicer_to_server(self, self._server)
        v1.add_UploadServiceServicer_to_server(self, self._server)
        v1.add_BatchServiceServicer_to_server(self, self._server)
        v1.add_ModelServiceServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop serving, and wait until all calls have ended. Then no cancelled upload is stored."""
        self._server.stop(grace=0).wait()

    def fail(self, method: str, *failures: Failure) -> None:
        """Make the next calls of a method fail, one failure per call."""
        self.failures[method].extend(failures)

    def unavailable(self, method: str, times: int = 1, after: int = 0) -> None:
        """Make the next calls of a method fail with UNAVAILABLE."""
        self.fail(method, *(Failure(grpc.StatusCode.UNAVAILABLE, after) for _ in range(times)))

    def store(self, content: bytes, filename: str = "f.jsonl", purpose: str = "batch") -> v1.File:
        """Store a file and return it."""
        file = v1.File(
            id=self._new_id("file"),
            bytes=len(content),
            filename=filename,
            purpose=purpose,
            status=v1.FILE_STATUS_PROCESSED,
            sha256=hashlib.sha256(content).hexdigest(),
        )
        file.created_at.FromSeconds(1_700_000_000)
        self.files[file.id] = (file, content)
        return file

    def start(self, content: bytes = b'{"custom_id":"a"}\n', endpoint: str = "/v1/chat/completions") -> v1.Batch:
        """Store a batch that follows the plan, and return it."""
        file = self.store(content)
        batch = v1.Batch(
            id=self._new_id("batch"), endpoint=endpoint, input_file_id=file.id, status=v1.BATCH_STATUS_VALIDATING
        )
        batch.created_at.FromSeconds(1_700_000_000)
        self._run_plan(batch, content)
        return batch

    # FileService

    def UploadFile(self, request_iterator: Iterator[v1.UploadFileRequest], context: grpc.ServicerContext) -> v1.File:
        self._enter("UploadFile", context)
        spec, content = v1.UploadFileSpec(), b""
        for request in request_iterator:
            if request.HasField("spec"):
                spec = request.spec
            else:
                content += request.data
                self.message_sizes.append(len(request.data))
        self.requests["UploadFile"].append(spec)
        if spec.sha256 and spec.sha256 != hashlib.sha256(content).hexdigest():
            abort(
                context, grpc.StatusCode.INVALID_ARGUMENT, "the checksum is wrong", "CONTENT_MISMATCH", param="sha256"
            )
        with self._lock:
            if _cancelled(context):
                return v1.File()
            file = self.store(content, spec.filename, spec.purpose)
            self._uploaded[context] = file.id
        return file

    def GetFile(self, request: v1.GetFileRequest, context: grpc.ServicerContext) -> v1.File:
        self._enter("GetFile", context, request)
        return self._file(request.file_id, context)[0]

    def ListFiles(self, request: v1.ListFilesRequest, context: grpc.ServicerContext) -> v1.ListFilesResponse:
        self._enter("ListFiles", context, request)
        found = [file for file, _ in self.files.values() if request.purpose in {"", file.purpose}]
        ordered = found if request.order == v1.LIST_ORDER_ASC else found[::-1]
        page, has_more = _page(ordered, [file.id for file in ordered], request.after, request.limit or 10_000)
        return v1.ListFilesResponse(data=page, has_more=has_more, last_id=page[-1].id if page else None)

    def DeleteFile(self, request: v1.DeleteFileRequest, context: grpc.ServicerContext) -> v1.DeleteFileResponse:
        self._enter("DeleteFile", context, request)
        self._file(request.file_id, context)
        del self.files[request.file_id]
        return v1.DeleteFileResponse(id=request.file_id, deleted=True)

    def DownloadFile(
        self, request: v1.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.DownloadFileResponse]:
        return self._stream("DownloadFile", context, request, self._download(request, context))

    def _download(
        self, request: v1.DownloadFileRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.DownloadFileResponse]:
        file, content = self._file(request.file_id, context)
        if request.offset > len(content):
            abort(context, grpc.StatusCode.OUT_OF_RANGE, "beyond the end", "RANGE_NOT_SATISFIABLE")
        end = request.offset + request.limit if request.HasField("limit") else len(content)
        yield v1.DownloadFileResponse(file=file)
        for start in range(request.offset, min(end, len(content)), self.download_bytes):
            yield v1.DownloadFileResponse(data=content[start : min(start + self.download_bytes, end)])

    # UploadService

    def CreateUpload(self, request: v1.CreateUploadRequest, context: grpc.ServicerContext) -> v1.Upload:
        self._enter("CreateUpload", context, request)
        upload = v1.Upload(
            id=self._new_id("upload"),
            bytes=request.bytes,
            filename=request.filename,
            purpose=request.purpose,
            status=v1.UPLOAD_STATUS_PENDING,
        )
        self.uploads[upload.id] = upload
        return upload

    def AddUploadPart(
        self, request_iterator: Iterator[v1.AddUploadPartRequest], context: grpc.ServicerContext
    ) -> v1.UploadPart:
        self._enter("AddUploadPart", context)
        upload = self._upload(next(request_iterator).upload_id, context)
        part = v1.UploadPart(id=self._new_id("part"), upload_id=upload.id)
        self.parts[part.id] = b"".join(request.data for request in request_iterator)
        return part

    def CompleteUpload(self, request: v1.CompleteUploadRequest, context: grpc.ServicerContext) -> v1.Upload:
        self._enter("CompleteUpload", context, request)
        upload = self._upload(request.upload_id, context)
        content = b"".join(self.parts[part_id] for part_id in request.part_ids)
        if request.md5 and request.md5 != hashlib.md5(content, usedforsecurity=False).hexdigest():
            abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the checksum is wrong", "CONTENT_MISMATCH", param="md5")
        upload.file.CopyFrom(self.store(content, upload.filename, upload.purpose))
        upload.status = v1.UPLOAD_STATUS_COMPLETED
        return upload

    def CancelUpload(self, request: v1.CancelUploadRequest, context: grpc.ServicerContext) -> v1.Upload:
        self._enter("CancelUpload", context, request)
        upload = self._upload(request.upload_id, context)
        if upload.status == v1.UPLOAD_STATUS_COMPLETED:
            abort(context, grpc.StatusCode.FAILED_PRECONDITION, "was completed", "UPLOAD_NOT_PENDING")
        upload.status = v1.UPLOAD_STATUS_CANCELLED
        return upload

    # BatchService

    def CreateBatch(self, request: v1.CreateBatchRequest, context: grpc.ServicerContext) -> v1.Batch:
        self._enter("CreateBatch", context, request)
        batch = v1.Batch(
            id=self._new_id("batch"),
            endpoint=request.endpoint,
            input_file_id=request.input_file_id,
            completion_window=request.completion_window,
            metadata=request.metadata,
            status=v1.BATCH_STATUS_VALIDATING,
        )
        _, content = self.files.get(request.input_file_id, (None, b""))
        self._run_plan(batch, content)
        return batch

    def GetBatch(self, request: v1.GetBatchRequest, context: grpc.ServicerContext) -> v1.Batch:
        self._enter("GetBatch", context, request)
        return self._batch(request.batch_id, context)

    def ListBatches(self, request: v1.ListBatchesRequest, context: grpc.ServicerContext) -> v1.ListBatchesResponse:
        self._enter("ListBatches", context, request)
        newest_first = [*self.batches.values()][::-1]
        page, has_more = _page(newest_first, [b.id for b in newest_first], request.after, request.limit or 20)
        return v1.ListBatchesResponse(data=page, has_more=has_more, last_id=page[-1].id if page else None)

    def CancelBatch(self, request: v1.CancelBatchRequest, context: grpc.ServicerContext) -> v1.Batch:
        self._enter("CancelBatch", context, request)
        batch = self._batch(request.batch_id, context)
        if batch.status == v1.BATCH_STATUS_COMPLETED:
            abort(
                context, grpc.StatusCode.FAILED_PRECONDITION, "has ended", "BATCH_NOT_CANCELLABLE", status="completed"
            )
        return changed(batch, status=v1.BATCH_STATUS_CANCELLING)

    def WatchBatch(self, request: v1.WatchBatchRequest, context: grpc.ServicerContext) -> Iterator[v1.Batch]:
        return self._stream("WatchBatch", context, request, self._watch(request, context))

    def _watch(self, request: v1.WatchBatchRequest, context: grpc.ServicerContext) -> Iterator[v1.Batch]:
        yield self._batch(request.batch_id, context)
        steps = self.steps[request.batch_id]
        while steps:
            step = steps[0]
            if isinstance(step, threading.Event):
                if not context.add_callback(step.set):
                    step.set()
                step.wait()
                if not context.is_active():
                    return
            steps.popleft()
            if isinstance(step, v1.Batch):
                self.batches[request.batch_id] = step
                yield step

    def StreamResults(
        self, request: v1.StreamResultsRequest, context: grpc.ServicerContext
    ) -> Iterator[v1.StreamResultsResponse]:
        found = (m for m in self.results.get(request.batch_id, ()) if m.next_offset > request.offset)
        return self._stream("StreamResults", context, request, found)

    # ModelService

    def ListModels(self, request: v1.ListModelsRequest, context: grpc.ServicerContext) -> v1.ListModelsResponse:
        self._enter("ListModels", context, request)
        return v1.ListModelsResponse(data=self.models)

    def GetModel(self, request: v1.GetModelRequest, context: grpc.ServicerContext) -> v1.Model:
        self._enter("GetModel", context, request)
        for model in self.models:
            if model.id == request.model_id:
                return model
        abort(context, grpc.StatusCode.NOT_FOUND, "no such model", "MODEL_NOT_FOUND", param="model")

    # Recording and failing calls

    def _enter(self, method: str, context: grpc.ServicerContext, request: object = None) -> None:
        failure = self._begin(method, context, request)
        if failure is not None:
            failure.apply(context)

    def _begin(self, method: str, context: grpc.ServicerContext, request: object) -> Failure | None:
        with self._lock:
            self.calls.append(method)
            if request is not None:
                self.requests[method].append(request)
            context.add_callback(lambda: self._end(context))
            self.metadata = dict(context.invocation_metadata())
            return self.failures[method].popleft() if self.failures[method] else None

    def _end(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            file_id = self._uploaded.pop(context, "")
            if _cancelled(context):
                self.files.pop(file_id, None)
        self.ended.release()

    def _stream(
        self, method: str, context: grpc.ServicerContext, request: object, messages: Iterator[M]
    ) -> Iterator[M]:
        failure = self._begin(method, context, request)
        for sent, message in enumerate(messages):
            if failure is not None and sent == failure.after:
                failure.apply(context)
                return
            yield message

    def _run_plan(self, batch: v1.Batch, content: bytes) -> None:
        self.batches[batch.id] = batch
        lines = [line for line in content.split(b"\n") if line.strip()]
        self.steps[batch.id] = deque(self.plan(batch, lines))
        for step in self.steps[batch.id]:
            if isinstance(step, v1.Batch):
                self._write_files(step, lines)

    def _write_files(self, batch: v1.Batch, lines: list[bytes]) -> None:
        """Store the files that the plan names: the first lines succeeded, the others failed."""
        cut = batch.request_counts.completed
        for file_id, part in ((batch.output_file_id, lines[:cut]), (batch.error_file_id, lines[cut:])):
            if file_id:
                file = self.store(b"".join(line + b"\n" for line in part), f"{file_id}.jsonl", "batch_output")
                self.files[file_id] = self.files.pop(file.id)
                self.files[file_id][0].id = file_id

    def _new_id(self, kind: str) -> str:
        with self._lock:
            self._ids += 1
            return f"{kind}_{self._ids}"

    def _file(self, file_id: str, context: grpc.ServicerContext) -> tuple[v1.File, bytes]:
        if file_id not in self.files:
            abort(context, grpc.StatusCode.NOT_FOUND, f"no file {file_id}", "FILE_NOT_FOUND", file_id=file_id)
        return self.files[file_id]

    def _batch(self, batch_id: str, context: grpc.ServicerContext) -> v1.Batch:
        if batch_id not in self.batches:
            abort(context, grpc.StatusCode.NOT_FOUND, f"no batch {batch_id}", "BATCH_NOT_FOUND", batch_id=batch_id)
        return self.batches[batch_id]

    def _upload(self, upload_id: str, context: grpc.ServicerContext) -> v1.Upload:
        if upload_id not in self.uploads:
            abort(context, grpc.StatusCode.NOT_FOUND, "no upload", "UPLOAD_NOT_FOUND", upload_id=upload_id)
        return self.uploads[upload_id]


def _cancelled(context: grpc.ServicerContext) -> bool:
    """Return True if the client cancelled the call.

    gRPC's blocking server may end the requests of a cancelled call before it knows of the
    cancellation, as if the client had sent them all. Its public API does not tell the two apart.
    """
    state: Any = getattr(context, "_state")  # noqa: B009 - the type does not declare it
    return bool(state.client == "cancelled")


def _page(found: list[M], ids: list[str], after: str, limit: int) -> tuple[list[M], bool]:
    start = ids.index(after) + 1 if after else 0
    return found[start : start + limit], start + limit < len(found)
