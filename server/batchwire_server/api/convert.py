"""Converts records of the core to messages of the protocol, and fields of requests to records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchwire import v1
from google.protobuf.timestamp_pb2 import Timestamp

from batchwire_server.core.lifecycle import STAMPS, BatchStatus
from batchwire_server.core.records import Batch, File, LineRules, Model, UploadPart, UploadStatus, WebhookEndpoint
from batchwire_server.core.webhooks import secret_hint
from batchwire_server.service.checks import check_lifetime
from batchwire_server.service.files import FileSpec
from batchwire_server.service.uploads import UploadState

BATCH_STATUSES = {status: v1.BatchStatus.Value(f"BATCH_STATUS_{status.name}") for status in BatchStatus}
UPLOAD_STATUSES = {status: v1.UploadStatus.Value(f"UPLOAD_STATUS_{status.name}") for status in UploadStatus}
_BATCH_TIMES = ("created_at", "expires_at", *STAMPS.values())


ListRequest = v1.ListFilesRequest | v1.ListBatchesRequest | v1.ListWebhookEndpointsRequest
Listed = v1.File | v1.Batch | v1.WebhookEndpoint


def page_limit(request: ListRequest) -> int | None:
    """Return the page size that a list request asks for, or None if it names none."""
    return request.limit if request.HasField("limit") else None


def page_fields(items: Sequence[Listed], *, has_more: bool) -> dict[str, Any]:
    """Return the fields that all list responses have."""
    ends = {"first_id": items[0].id, "last_id": items[-1].id} if items else {}
    return {"data": items, "has_more": has_more, **ends}


def timestamp(milliseconds: int | None) -> Timestamp | None:
    """Return milliseconds since the epoch as a message, and None as None."""
    if milliseconds is None:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def file_message(file: File) -> v1.File:
    """Return the message of a file."""
    return v1.File(
        id=file.id,
        bytes=file.bytes,
        created_at=timestamp(file.created_at),
        expires_at=timestamp(file.expires_at),
        filename=file.filename,
        purpose=file.purpose,
        status=v1.FILE_STATUS_PROCESSED,
        sha256=file.sha256,
        line_count=file.line_count,
    )


def file_spec(spec: v1.UploadFileSpec) -> FileSpec:
    """Return what an uploader declares.

    Raises BatchwireError if the expiry policy is not allowed.
    """
    return FileSpec(
        filename=spec.filename,
        purpose=spec.purpose,
        lifetime=lifetime(spec, "expires_after"),
        bytes=spec.bytes if spec.HasField("bytes") else None,
        sha256=spec.sha256,
    )


def lifetime(message: v1.UploadFileSpec | v1.CreateUploadRequest | v1.CreateBatchRequest, field: str) -> int | None:
    """Return the seconds of a message's expiry policy, or None if it has none.

    Raises BatchwireError if the policy is not allowed.
    """
    if not message.HasField(field):  # type: ignore[arg-type]  # the stubs allow only field names that all three messages have
        return None
    policy: v1.ExpiresAfter = getattr(message, field)
    return check_lifetime(field, policy.anchor, policy.seconds)


def upload_message(state: UploadState) -> v1.Upload:
    """Return the message of an upload."""
    upload = state.upload
    return v1.Upload(
        id=upload.id,
        bytes=upload.bytes,
        created_at=timestamp(upload.created_at),
        expires_at=timestamp(upload.expires_at),
        filename=upload.filename,
        purpose=upload.purpose,
        status=UPLOAD_STATUSES[upload.status],
        file=file_message(state.file) if state.file else None,
    )


def part_message(part: UploadPart) -> v1.UploadPart:
    """Return the message of a part."""
    return v1.UploadPart(id=part.id, created_at=timestamp(part.created_at), upload_id=part.upload_id)


def batch_message(batch: Batch) -> v1.Batch:
    """Return the message of a batch."""
    usage = batch.usage
    return v1.Batch(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=[
            v1.BatchError(code=error.code, message=error.message, param=error.param, line=error.line)
            for error in batch.errors
        ],
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=BATCH_STATUSES[batch.status],
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        **{name: timestamp(getattr(batch, name)) for name in _BATCH_TIMES},
        request_counts=v1.RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
        usage=v1.Usage(
            input_tokens=usage.input_tokens,
            input_tokens_details=v1.InputTokensDetails(cached_tokens=usage.cached_tokens),
            output_tokens=usage.output_tokens,
            output_tokens_details=v1.OutputTokensDetails(reasoning_tokens=usage.reasoning_tokens),
            total_tokens=usage.total_tokens,
        ),
        metadata=batch.metadata,
        output_expires_after=(
            v1.ExpiresAfter(anchor="created_at", seconds=batch.output_lifetime) if batch.output_lifetime else None
        ),
        replace=v1.Replace(model=batch.replace_model) if batch.replace_model else None,
        input_file_name=batch.input_file_name,
        retry_of=batch.retry_of,
    )


def line_rules(rules: v1.LineRules) -> LineRules:
    """Return the exceptions to OpenAI's rules for lines that a request allows."""
    return LineRules(
        default_target=rules.default_target,
        single_model=rules.single_model,
        drop_stream=rules.drop_stream,
        unversioned_target=rules.unversioned_target,
    )


def model_message(model: Model) -> v1.Model:
    """Return the message of a model."""
    return v1.Model(id=model.id, created=timestamp(model.created * 1000), owned_by=model.owned_by)


def endpoint_message(endpoint: WebhookEndpoint) -> v1.WebhookEndpoint:
    """Return the message of a webhook endpoint, without its secret."""
    return v1.WebhookEndpoint(**_endpoint_fields(endpoint))


def endpoint_with_secret(endpoint: WebhookEndpoint) -> v1.WebhookEndpointWithSecret:
    """Return the message of a webhook endpoint, with its secret."""
    return v1.WebhookEndpointWithSecret(**_endpoint_fields(endpoint), signing_secret=endpoint.secret)


def _endpoint_fields(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": secret_hint(endpoint.secret),
        "created_at": timestamp(endpoint.created_at),
        "updated_at": timestamp(endpoint.updated_at),
    }
