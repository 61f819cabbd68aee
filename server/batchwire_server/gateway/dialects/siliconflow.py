"""SiliconFlow: `replace.model`, long windows, `in_queue`, an upload's reply that is wrapped and plain at once, errors of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from batchwire import v1

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import sentences, status_with
from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.encode import Reshape
from batchwire_server.gateway.transcoding.requests import Reading

_BARE = frozenset({403, 404, 503, 504})

# The only number that its documents give for a refused request; elsewhere the HTTP status stands for it.
_INVALID_REQUEST = 20012


# Its own words, which clients know; when to come again is in `retry-after`.
_RATE_LIMITED = "Request was rejected due to rate limiting."

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _within_its_windows(values: dict[str, Any]) -> dict[str, Any]:
    """Refuses windows that its guide does not have. What is no window at all is the api's to refuse."""
    window = values.get("completion_window")
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", window) if isinstance(window, str) else None
    if match and not 24 * 3600 <= int(match[1]) * _SECONDS[match[2]] <= 336 * 3600:
        message = f"Invalid value: '{window}'. Supported values are: '24h' to '336h'."
        raise refusal(v1.ERROR_REASON_INVALID_VALUE, message, param="completion_window")
    return values


def _wrapped(file: dict[str, Any]) -> dict[str, Any]:
    """A File, and the same again as SiliconFlow wraps it: its guide reads `data["id"]` through OpenAI's SDK.

    Both have a `status`, "processed" and true. The File's stays: it is as true as true, and strict clients want the word.
    """
    data = {key: file[key] for key in ("id", "object", "bytes", "filename", "purpose")}
    return {**file, "code": 20000, "message": "Ok", "data": {**data, "createdAt": file["created_at"]}}


def _error(error: ApiError) -> Any:
    if error.status == 401:
        return "Invalid token"
    if error.status == 404 and not error.reason:
        return "404 page not found"
    if error.status in _BARE:
        return error.message
    code = _INVALID_REQUEST if error.status == 400 else error.status
    message = _RATE_LIMITED if error.status == 429 else error.message
    return {"code": code, "message": message, "data": error.param or ""}


SILICONFLOW = replace(
    OPENAI,
    name="siliconflow",
    spellings={"/v1": "/siliconflow/v1"},
    reading=Reading(
        defaults={
            "CreateBatchRequest": {
                "line_rules": {"default_target": True, "single_model": True, "drop_stream": True},
                "require_input_file": True,
            },
            "ListFilesRequest": {"limit": 10},
        },
        reshaped={"CreateBatchRequest": _within_its_windows},
    ),
    shape=replace(
        OPENAI.shape,
        hidden=OPENAI.shape.hidden - {"Batch.input_file_name"},
        renamed={"Batch.input_file_name": "file_name"},
        reshaped={
            **OPENAI.shape.reshaped,
            "Batch.errors": Reshape(
                lambda errors: sentences(errors) or None, {"type": ["array", "null"], "items": {"type": "string"}}
            ),
            "Batch.status": status_with("in_queue", validating="in_queue"),
            "UploadFile": Reshape(
                _wrapped, {"type": "object", "required": ["id", "created_at", "code", "message", "status", "data"]}
            ),
        },
    ),
    error=_error,
    error_schema={
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "code": {"type": "integer"},
                    "message": {"type": "string"},
                    "data": {"type": "string"},
                },
                "required": ["code", "message", "data"],
                "additionalProperties": False,
            },
        ]
    },
)
