"""Novita: lines with `custom_id` and `body` alone, one model per file, and "" instead of null."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import EMPTY_IF_NULL, error_text
from batchwire_server.gateway.transcoding.encode import Converted
from batchwire_server.gateway.transcoding.requests import RequestMapping

_FIFTEEN_DAYS = {"anchor": "created_at", "seconds": 15 * 86400}

_TOTAL = {"type": "object", "properties": {"total_requests": {"type": "integer"}}, "required": ["total_requests"]}


def _total_requests(line_count: int | None) -> dict[str, Any] | None:
    return None if line_count is None else {"total_requests": line_count}


NOVITA = replace(
    OPENAI,
    name="novita",
    path_prefixes={"/v1": "/openai/v1"},
    request_mapping=RequestMapping(
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
    response_mapping=replace(
        OPENAI.response_mapping,
        hidden=OPENAI.response_mapping.hidden - {"File.line_count"},
        renamed={"File.line_count": "metadata"},
        overrides={
            **OPENAI.response_mapping.overrides,
            "Batch.error_file_id": EMPTY_IF_NULL,
            "Batch.errors": Converted(error_text, {"type": "string"}),
            "Batch.output_file_id": EMPTY_IF_NULL,
            "File.line_count": Converted(_total_requests, {"anyOf": [_TOTAL, {"type": "null"}]}),
        },
    ),
)
