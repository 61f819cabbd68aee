"""The order of defaults, headers and bodies."""

from __future__ import annotations

from typing import Any

import pytest
from batchwire import v1
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.requests import RequestMapping
from starlette.datastructures import Headers

MAPPING = RequestMapping(
    defaults={"CreateBatchRequest": {"completion_window": "24h", "line_rules": {"default_target": True}}},
    headers={"x-given": lambda text: {"completion_window": text, "metadata": {"from": "header", "a": "b"}}},
    transforms={"CreateBatchRequest": lambda values: {**values, "endpoint": "/v1/x"}},
)


def read(body: bytes = b"", **headers: str) -> v1.CreateBatchRequest:
    request = v1.CreateBatchRequest()
    MAPPING.apply_defaults(request, Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    MAPPING.apply_body(request, body)
    return request


def test_unset_fields_get_the_defaults() -> None:
    rules = v1.LineRules(default_target=True)
    assert read() == v1.CreateBatchRequest(completion_window="24h", line_rules=rules, endpoint="/v1/x")
    assert read(b'{"completion_window": null}').completion_window == "24h"


def test_body_wins_over_header_and_header_over_default() -> None:
    assert read(X_Given="48h").completion_window == "48h"
    request = read(b'{"completion_window": "7d", "metadata": {"from": "body"}}', x_given="48h")
    assert request.completion_window == "7d"
    assert dict(request.metadata) == {"from": "body", "a": "b"}


def test_objects_are_merged() -> None:
    request = read(b'{"line_rules": {"drop_stream": true}}')
    assert request.line_rules == v1.LineRules(default_target=True, drop_stream=True)
    assert not read(b'{"line_rules": {"default_target": false}}').line_rules.default_target


def test_other_messages_are_unchanged() -> None:
    request = v1.CreateUploadRequest()
    MAPPING.apply_defaults(request, Headers({"x-given": "48h"}))
    assert request == v1.CreateUploadRequest()


@pytest.mark.parametrize("body", [b"[]", b'{"metadata": 1}'])
def test_wrong_types_are_refused(body: Any) -> None:
    with pytest.raises(ApiError, match="Invalid type"):
        read(body)
