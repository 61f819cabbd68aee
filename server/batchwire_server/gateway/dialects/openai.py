"""OpenAI: the reference. Objects have exactly OpenAI's keys: strict clients refuse any other."""

from __future__ import annotations

from typing import Any

from batchwire_server.gateway.dialects.dialect import Dialect
from batchwire_server.gateway.dialects.shared import closed_object
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.encode import Converted, ResponseMapping

_NULL = {"type": "null"}
_NULLABLE_TEXT = {"type": ["string", "null"]}


def _object(name: str, **more: Any) -> dict[str, Any]:
    return {"object": name, **more}


def _error_list(errors: list[Any]) -> dict[str, Any] | None:
    return _object("list", data=errors) if errors else None


def _or_null(value: dict[str, str]) -> dict[str, str] | None:
    return value or None


def _render_error(error: ApiError) -> dict[str, Any]:
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


_ERROR = closed_object(
    code={"type": "string"}, message={"type": "string"}, param=_NULLABLE_TEXT, line={"type": ["integer", "null"]}
)
_ERRORS = {"anyOf": [closed_object(object={"const": "list"}, data={"type": "array", "items": _ERROR}), _NULL]}
_METADATA = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}

OPENAI = Dialect(
    name="openai",
    path_prefixes={"/v1": "/v1"},
    # Cerebras' clients call these at any base URL. No other call has these paths, so every dialect
    # serves them.
    additional_bindings={("DELETE", "/v1/batches/{batch_id}"): "CancelBatch"},
    probe_paths=frozenset({"/v1/tcp_warming"}),
    response_mapping=ResponseMapping(
        constants={
            "Batch": _object("batch"),
            "DeleteFileResponse": _object("file"),
            "File": _object("file", status_details=None),
            "ListBatchesResponse": _object("list"),
            "ListFilesResponse": _object("list"),
            "ListModelsResponse": _object("list"),
            "Model": _object("model"),
            "Upload": _object("upload"),
            "UploadPart": _object("upload.part"),
            "DeleteWebhookEndpointResponse": _object("webhook_endpoint.deleted"),
            "ListWebhookEndpointsResponse": _object("list"),
            "ListWebhookEventTypesResponse": _object("list"),
            "TestWebhookEndpointResponse": _object("webhook_endpoint.test"),
            "WebhookEndpoint": _object("webhook_endpoint"),
            "WebhookEndpointWithSecret": _object("webhook_endpoint"),
        },
        # Batchwire's own fields. A file's SHA-256 is the ETag of its content.
        hidden=frozenset(
            {
                "Batch.input_file_name",
                "Batch.output_expires_after",
                "Batch.replace",
                "Batch.retry_of",
                "File.line_count",
                "File.sha256",
            }
        ),
        never_null=frozenset({"InputTokensDetails", "OutputTokensDetails", "RequestCounts", "Usage"}),
        overrides={
            "Batch.errors": Converted(_error_list, _ERRORS),
            "Batch.metadata": Converted(_or_null, _METADATA),
        },
    ),
    render_error=_render_error,
    error_schema=closed_object(
        error=closed_object(
            message={"type": "string"}, type={"type": "string"}, param=_NULLABLE_TEXT, code=_NULLABLE_TEXT
        )
    ),
)
