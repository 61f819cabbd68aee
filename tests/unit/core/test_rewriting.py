"""Rewriting of request bodies."""

from __future__ import annotations

import pytest
from batchwire_server.core.records import LineRules
from batchwire_server.core.rewriting import rewrite_body

BODY = b'{ "model": "m",  "stream": true, "stream_options": {"include_usage": true}, "x": 1.50 }'


def test_a_body_is_unchanged_unless_its_batch_asks_for_a_change() -> None:
    assert rewrite_body(BODY, None, LineRules()) is BODY


@pytest.mark.parametrize(
    ("model", "rules", "expected"),
    [
        ("n", LineRules(), b'{"model":"n","stream":true,"stream_options":{"include_usage": true},"x":1.50}'),
        (None, LineRules(drop_stream=True), b'{"model":"m","x":1.50}'),
        ('"ü', LineRules(drop_stream=True), '{"model":"\\"ü","x":1.50}'.encode()),
    ],
    ids=["model", "streaming", "both"],
)
def test_only_the_fields_that_change_are_encoded_anew(model: str | None, rules: LineRules, expected: bytes) -> None:
    assert rewrite_body(BODY, model, rules) == expected


def test_a_body_without_a_model_gets_the_batchs() -> None:
    assert rewrite_body(b"{}", "m", LineRules()) == b'{"model":"m"}'
