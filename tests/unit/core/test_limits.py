"""What callers may ask for by default."""

from __future__ import annotations

from batchwire_server.core.limits import ENDPOINTS, UPLOAD_PURPOSES, Limits


def test_the_defaults_are_openais() -> None:
    limits = Limits()
    assert limits.max_file_bytes == 209_715_200
    assert limits.max_lines == 50_000
    assert limits.batch_file_lifetime == 30 * 24 * 3600
    assert limits.require_jsonl_name


def test_purposes_stand_in_the_order_of_openais_message() -> None:
    assert list(UPLOAD_PURPOSES) == ["fine-tune", "assistants", "batch", "user_data", "vision", "evals"]


def test_every_endpoint_is_below_v1_and_named_once() -> None:
    assert all(endpoint.startswith("/v1/") for endpoint in ENDPOINTS)
    assert len(set(ENDPOINTS)) == len(ENDPOINTS)
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses"} <= set(ENDPOINTS)


def test_a_line_fits_into_a_file_and_a_part_does_too() -> None:
    limits = Limits()
    assert limits.max_line_bytes <= limits.max_file_bytes
    assert limits.max_part_bytes <= limits.max_file_bytes
