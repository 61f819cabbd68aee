"""Cerebras: `queued`, files that live seven days, errors in one string, metadata of any JSON value."""

from __future__ import annotations

from dataclasses import replace

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import ANY_METADATA, metadata_in_text, paragraph, status_with
from batchwire_server.gateway.transcoding.encode import Reshape
from batchwire_server.gateway.transcoding.requests import Reading

_SEVEN_DAYS = {"anchor": "created_at", "seconds": 7 * 86400}

CEREBRAS = replace(
    OPENAI,
    name="cerebras",
    spellings={
        "/v1": "/cerebras/v1",
        # Cerebras' own has other lines, and those that never ran, which a stream of finished lines has not.
        "/v1/batches/{batch_id}/results": None,
    },
    reading=Reading(
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
        reshaped={"CreateBatchRequest": metadata_in_text},
        loose=frozenset({"CreateBatchRequest"}),
    ),
    shape=replace(
        OPENAI.shape,
        hidden=OPENAI.shape.hidden
        | {
            "ListBatchesResponse.first_id",
            "ListBatchesResponse.last_id",
            "ListFilesResponse.first_id",
            "ListFilesResponse.last_id",
        },
        reshaped={
            **OPENAI.shape.reshaped,
            "Batch.errors": Reshape(lambda errors: paragraph(errors) or None, {"type": ["string", "null"]}),
            "Batch.metadata": ANY_METADATA,
            "Batch.status": status_with("queued"),
            "File.purpose": Reshape(lambda word: "batch" if word == "batch_output" else word, {"type": "string"}),
        },
    ),
    content_type="application/x-ndjson",
)
