"""Azure OpenAI: OpenAI's objects under other paths.

Any `api-version` is accepted. Azure's clients send the key in the header `api-key`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from batchwire_server.gateway.dialects.openai import OPENAI
from batchwire_server.gateway.transcoding.requests import RequestMapping


def _add_version(values: dict[str, Any]) -> dict[str, Any]:
    """Prefix Azure's `/chat/completions` with `/v1`, as the protocol spells it."""
    endpoint = values.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith("/") or endpoint.startswith("/v1/"):
        return values
    return {**values, "endpoint": f"/v1{endpoint}"}


AZURE = replace(
    OPENAI,
    name="azure",
    path_prefixes={"/v1": "/openai"},
    request_mapping=RequestMapping(
        defaults={
            "CreateBatchRequest": {
                "line_rules": {"default_target": True, "unversioned_target": True},
                "require_input_file": True,
            },
        },
        transforms={"CreateBatchRequest": _add_version},
    ),
)
