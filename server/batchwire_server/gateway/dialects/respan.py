"""Respan, once Keywords AI: OpenAI's objects, two prefixes, parameters in a header, and errors in three shapes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from batchwire import v1

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import ANY_METADATA, metadata_in_text
from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.requests import HEADERS, Reading

# What the header, or a request's own body, may say about it; kept as pairs of the batch's metadata under the same names.
_KEPT = ("customer_identifier", "custom_identifier", "thread_identifier", "environment")

# Respan's own words, where its documents print them.
_WORDS = {
    (v1.ERROR_REASON_INVALID_VALUE, "purpose"): "Invalid value for 'purpose': must be one of ['batch', ...]",
    (v1.ERROR_REASON_MISSING_API_KEY, None): "Authentication credentials were not provided.",
}


def _header(text: str) -> Mapping[str, Any]:
    """What the header says: JSON, or the same in Base64. Keys other than those kept are dropped."""
    raw = text.encode("latin-1")  # headers are decoded so
    values = next((each for each in (_decoded(raw), _decoded(_from_base64(raw))) if each is not None), None)
    if values is None:
        message = "X-Data-Respan-Params must be a JSON object, or a JSON object in Base64."
        raise refusal(v1.ERROR_REASON_INVALID_VALUE, message, param="X-Data-Respan-Params")
    return {key: value for key, value in values.items() if key in (*_KEPT, "metadata")}


def _from_base64(raw: bytes) -> bytes:
    """What is in either alphabet of Base64, padded or not; nothing when it is no Base64."""
    standard = raw.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(standard + b"=" * (-len(raw) % 4), validate=True)
    except binascii.Error:
        return b""


def _decoded(text: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _folded(values: dict[str, Any]) -> dict[str, Any]:
    """The parameters moved into the metadata, which wins where both have a key."""
    kept = {key: values[key] for key in _KEPT if values.get(key) is not None}
    metadata = values.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        return values
    return metadata_in_text({**values, "metadata": {**kept, **metadata}})


def _error(error: ApiError) -> dict[str, Any]:
    message = _WORDS.get((error.reason, error.param), error.message)
    if error.reason == v1.ERROR_REASON_FILE_NOT_FOUND:
        message = message.replace("No such File object: ", "No such file: ")
    return {"error": message if error.status == 401 else {"message": message, "type": error.type}}


RESPAN = replace(
    OPENAI,
    name="respan",
    spellings={"/v1": "/api/v1", "/v1/files": "/api/files"},
    reading=Reading(
        defaults={"CreateBatchRequest": {"require_input_file": True}},
        headers={**HEADERS, "x-data-keywordsai-params": _header, "x-data-respan-params": _header},
        reshaped={"CreateBatchRequest": _folded},
        loose=frozenset({"CreateBatchRequest"}),
    ),
    shape=replace(OPENAI.shape, reshaped={**OPENAI.shape.reshaped, "Batch.metadata": ANY_METADATA}),
    error=_error,
    error_schema={
        "type": "object",
        "properties": {
            "error": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"message": {"type": "string"}, "type": {"type": "string"}},
                        "required": ["message", "type"],
                        "additionalProperties": False,
                    },
                ]
            }
        },
        "required": ["error"],
        "additionalProperties": False,
    },
)
