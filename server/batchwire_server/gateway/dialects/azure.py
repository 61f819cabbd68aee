"""Azure OpenAI: OpenAI's objects under other paths. `api-version` may be anything, and the key comes in the header `api-key`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.transcoding.requests import Reading


def _endpoint(values: dict[str, Any]) -> dict[str, Any]:
    """Azure's `/chat/completions` is the protocol's `/v1/chat/completions`."""
    endpoint = values.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith("/") or endpoint.startswith("/v1/"):
        return values
    return {**values, "endpoint": f"/v1{endpoint}"}


AZURE = replace(
    OPENAI,
    name="azure",
    spellings={"/v1": "/openai"},
    reading=Reading(
        defaults={
            "CreateBatchRequest": {
                "line_rules": {"default_target": True, "unversioned_target": True},
                "require_input_file": True,
            },
        },
        reshaped={"CreateBatchRequest": _endpoint},
    ),
)
