"""Respan (once Keywords AI): two URL prefixes, parameters in a header, errors in three shapes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
from batchwire import v1

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.dialects.shared import ANY_METADATA, closed_object, encode_metadata
from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.requests import HEADERS, RequestMapping

# Parameters of the header or of the body that become pairs of the batch's metadata.
_PARAMETERS = ("customer_identifier", "custom_identifier", "thread_identifier", "environment")

# Messages that Respan's documents print, by reason and parameter.
_MESSAGES = {
    (v1.ERROR_REASON_INVALID_VALUE, "purpose"): "Invalid value for 'purpose': must be one of ['batch', ...]",
    (v1.ERROR_REASON_MISSING_API_KEY, None): "Authentication credentials were not provided.",
}


def _read_header(text: str) -> Mapping[str, Any]:
    """Return the header's values: JSON, or JSON in Base64. Unknown keys are dropped."""
    raw = text.encode("latin-1")  # as Starlette decodes headers
    values = next((each for each in (_json_object(raw), _json_object(_from_base64(raw))) if each is not None), None)
    if values is None:
        message = "X-Data-Respan-Params must be a JSON object, or a JSON object in Base64."
        raise refusal(v1.ERROR_REASON_INVALID_VALUE, message, param="X-Data-Respan-Params")
    return {key: value for key, value in values.items() if key in (*_PARAMETERS, "metadata")}


def _from_base64(raw: bytes) -> bytes:
    """Decode either alphabet of Base64, padded or not. Return b"" if it is no Base64."""
    standard = raw.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(standard + b"=" * (-len(raw) % 4), validate=True)
    except binascii.Error:
        return b""


def _json_object(text: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _move_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Move the parameters into the metadata. Keys that the metadata already has win."""
    parameters = {key: values[key] for key in _PARAMETERS if values.get(key) is not None}
    metadata = values.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        return values
    return encode_metadata({**values, "metadata": {**parameters, **metadata}})


def _render_error(error: ApiError) -> dict[str, Any]:
    message = _MESSAGES.get((error.reason, error.param), error.message)
    if error.reason == v1.ERROR_REASON_FILE_NOT_FOUND:
        message = message.replace("No such File object: ", "No such file: ")
    return {"error": message if error.status == 401 else {"message": message, "type": error.type}}


RESPAN = replace(
    OPENAI,
    name="respan",
    path_prefixes={"/v1": "/api/v1", "/v1/files": "/api/files"},
    request_mapping=RequestMapping(
        defaults={"CreateBatchRequest": {"require_input_file": True}},
        headers={**HEADERS, "x-data-keywordsai-params": _read_header, "x-data-respan-params": _read_header},
        transforms={"CreateBatchRequest": _move_parameters},
        untyped_maps=frozenset({"CreateBatchRequest"}),
    ),
    response_mapping=replace(
        OPENAI.response_mapping, overrides={**OPENAI.response_mapping.overrides, "Batch.metadata": ANY_METADATA}
    ),
    render_error=_render_error,
    error_schema=closed_object(
        error={
            "anyOf": [
                {"type": "string"},
                closed_object(message={"type": "string"}, type={"type": "string"}),
            ]
        }
    ),
)
