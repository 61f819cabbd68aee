"""Novita: lines of only `custom_id` and `body`, one model per file, and empty strings where OpenAI has null."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import EMPTY_ID, paragraph
from batchwire_server.gateway.transcoding.encode import Reshape
from batchwire_server.gateway.transcoding.requests import Reading

_FIFTEEN_DAYS = {"anchor": "created_at", "seconds": 15 * 86400}

_TOTAL = {"type": "object", "properties": {"total_requests": {"type": "integer"}}, "required": ["total_requests"]}


def _total(line_count: int | None) -> dict[str, Any] | None:
    return None if line_count is None else {"total_requests": line_count}


NOVITA = replace(
    OPENAI,
    name="novita",
    spellings={"/v1": "/openai/v1"},
    reading=Reading(
        defaults={
            "CreateBatchRequest": {
                "completion_window": "24h",
                "line_rules": {"default_target": True, "single_model": True},
                "require_input_file": True,
            },
            "CreateUploadRequest": {"expires_after": _FIFTEEN_DAYS},
            "UploadFileSpec": {"expires_after": _FIFTEEN_DAYS},
        },
    ),
    shape=replace(
        OPENAI.shape,
        hidden=OPENAI.shape.hidden - {"File.line_count"},
        renamed={"File.line_count": "metadata"},
        reshaped={
            **OPENAI.shape.reshaped,
            "Batch.error_file_id": EMPTY_ID,
            "Batch.errors": Reshape(paragraph, {"type": "string"}),
            "Batch.output_file_id": EMPTY_ID,
            "File.line_count": Reshape(_total, {"anyOf": [_TOTAL, {"type": "null"}]}),
        },
    ),
)
