"""SiliconFlow: windows of up to 336h, status `in_queue`, a wrapped upload reply, its own errors."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from batchwire import v1

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import closed_object, error_sentences, status_override
from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.encode import Converted
from batchwire_server.gateway.transcoding.requests import RequestMapping

# HTTP statuses whose body is a bare string.
_BARE_STRING = frozenset({403, 404, 503, 504})

# The only code that its documents give for a refused request; other errors have the HTTP status.
_INVALID_REQUEST = 20012

# The documented message. The header `retry-after` says when to retry.
_RATE_LIMITED = "Request was rejected due to rate limiting."

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _check_window(values: dict[str, Any]) -> dict[str, Any]:
    """Refuse windows outside its documented range. The api refuses text that is not a window."""
    window = values.get("completion_window")
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", window) if isinstance(window, str) else None
    if match and not 24 * 3600 <= int(match[1]) * _UNIT_S[match[2]] <= 336 * 3600:
        message = f"Invalid value: '{window}'. Supported values are: '24h' to '336h'."
        raise refusal(v1.ERROR_REASON_INVALID_VALUE, message, param="completion_window")
    return values


def _wrap(file: dict[str, Any]) -> dict[str, Any]:
    """Return a File with SiliconFlow's wrapper added: its guide reads `data["id"]` by OpenAI's SDK.

    Both define `status`: the File "processed", the wrapper true. The File's stays, because it is
    truthy and strict clients require the word.
    """
    data = {key: file[key] for key in ("id", "object", "bytes", "filename", "purpose")}
    return {**file, "code": 20000, "message": "Ok", "data": {**data, "createdAt": file["created_at"]}}


def _render_error(error: ApiError) -> Any:
    if error.status == 401:
        return "Invalid token"
    if error.status == 404 and not error.reason:
        return "404 page not found"
    if error.status in _BARE_STRING:
        return error.message
    code = _INVALID_REQUEST if error.status == 400 else error.status
    message = _RATE_LIMITED if error.status == 429 else error.message
    return {"code": code, "message": message, "data": error.param or ""}


SILICONFLOW = replace(
    OPENAI,
    name="siliconflow",
    path_prefixes={"/v1": "/siliconflow/v1"},
    request_mapping=RequestMapping(
        defaults={
            "CreateBatchRequest": {
                "line_rules": {"default_target": True, "single_model": True, "drop_stream": True},
                "require_input_file": True,
            },
            "ListFilesRequest": {"limit": 10},
        },
        transforms={"CreateBatchRequest": _check_window},
    ),
    response_mapping=replace(
        OPENAI.response_mapping,
        hidden=OPENAI.response_mapping.hidden - {"Batch.input_file_name"},
        renamed={"Batch.input_file_name": "file_name"},
        overrides={
            **OPENAI.response_mapping.overrides,
            "Batch.errors": Converted(
                lambda errors: error_sentences(errors) or None, {"type": ["array", "null"], "items": {"type": "string"}}
            ),
            "Batch.status": status_override(queued="in_queue", validating="in_queue"),
        },
        reply_overrides={
            "UploadFile": Converted(
                _wrap, {"type": "object", "required": ["id", "created_at", "code", "message", "status", "data"]}
            ),
        },
    ),
    render_error=_render_error,
    error_schema={
        "anyOf": [
            {"type": "string"},
            closed_object(code={"type": "integer"}, message={"type": "string"}, data={"type": "string"}),
        ]
    },
)
