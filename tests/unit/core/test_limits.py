"""Limits of requests."""

from __future__ import annotations

from batchwire_server.core.limits import ENDPOINTS, HOUR_MS, MAX_WAIT_S, UPLOAD_PURPOSES, Limits, wait_for_room


def test_the_defaults_are_openais() -> None:
    limits = Limits()
    assert limits.max_file_bytes == 209_715_200
    assert limits.max_lines == 50_000
    assert limits.batch_file_lifetime == 30 * 24 * 3600
    assert limits.require_jsonl_name


def test_purposes_are_in_the_order_of_openais_message() -> None:
    assert list(UPLOAD_PURPOSES) == ["fine-tune", "assistants", "batch", "user_data", "vision", "evals"]


def test_every_endpoint_is_below_v1_and_named_once() -> None:
    assert all(endpoint.startswith("/v1/") for endpoint in ENDPOINTS)
    assert len(set(ENDPOINTS)) == len(ENDPOINTS)
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/responses"} <= set(ENDPOINTS)


def test_a_line_fits_into_a_file_and_a_part_does_too() -> None:
    limits = Limits()
    assert limits.max_line_bytes <= limits.max_file_bytes
    assert limits.max_part_bytes <= limits.max_file_bytes


def test_retry_after_covers_the_wait_and_is_at_most_a_minute() -> None:
    now = 10 * HOUR_MS
    for left_ms in (1, 999, 1000, 30_500):
        wait_ms = wait_for_room(now - HOUR_MS + left_ms, now) * 1000
        assert left_ms < wait_ms <= left_ms + 1000
    assert wait_for_room(now, now) == MAX_WAIT_S
