"""Cerebras: status `queued`, retention of seven days, errors in one string, JSON in metadata."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import ANY_METADATA, encode_metadata, error_text, status_override
from batchwire_server.gateway.transcoding.encode import Converted
from batchwire_server.gateway.transcoding.requests import RequestMapping

_SEVEN_DAYS = {"anchor": "created_at", "seconds": 7 * 86400}

CEREBRAS = replace(
    OPENAI,
    name="cerebras",
    path_prefixes={
        "/v1": "/cerebras/v1",
        # Cerebras' results have another form and include lines that never ran. StreamResults yields
        # finished lines alone, so it cannot stand in.
        "/v1/batches/{batch_id}/results": None,
    },
    request_mapping=RequestMapping(
        defaults={
            "CreateBatchRequest": {
                "line_rules": {"single_model": True},
                "output_expires_after": _SEVEN_DAYS,
                "require_input_file": True,
            },
            "CreateUploadRequest": {"expires_after": _SEVEN_DAYS},
            "ListFilesRequest": {"limit": 20},
            "UploadFileSpec": {"expires_after": _SEVEN_DAYS},
        },
        transforms={"CreateBatchRequest": encode_metadata},
        untyped_maps=frozenset({"CreateBatchRequest"}),
    ),
    response_mapping=replace(
        OPENAI.response_mapping,
        hidden=OPENAI.response_mapping.hidden
        | {
            "ListBatchesResponse.first_id",
            "ListBatchesResponse.last_id",
            "ListFilesResponse.first_id",
            "ListFilesResponse.last_id",
        },
        overrides={
            **OPENAI.response_mapping.overrides,
            "Batch.errors": Converted(lambda errors: error_text(errors) or None, {"type": ["string", "null"]}),
            "Batch.metadata": ANY_METADATA,
            "Batch.status": status_override(queued="queued"),
            "File.purpose": Converted(
                lambda purpose: "batch" if purpose == "batch_output" else purpose, {"type": "string"}
            ),
        },
    ),
    file_content_type="application/x-ndjson",
)
