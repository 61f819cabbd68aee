"""Webhooks: bodies, signatures, attempts and allowed URLs."""

from __future__ import annotations

import json

import pytest
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import Batch, Event, WebhookEndpoint
from batchwire_server.core.webhooks import (
    EVENT_TYPES,
    LIFETIME_S,
    backoff,
    body_of,
    check_event_types,
    check_url,
    deliveries,
    headers_of,
    is_public,
    secret_of,
    signature,
)
from openai import InvalidWebhookSignatureError, OpenAI

NOW = 1_700_000_000_000
EVENT = Event("evt_1", "batch.completed", NOW, "batch_1")


def endpoint(secret: str, old: str | None = None, until: int | None = None) -> WebhookEndpoint:
    return WebhookEndpoint("whe_1", "acme", "n", "https://example.com/", ("batch.completed",), secret, old, until)


def test_event_types_are_openais() -> None:
    assert EVENT_TYPES == ("batch.cancelled", "batch.completed", "batch.expired", "batch.failed")


def test_a_body_names_the_event_and_the_batch() -> None:
    assert json.loads(body_of(EVENT)) == {
        "id": "evt_1",
        "object": "event",
        "created_at": 1_700_000_000,
        "type": "batch.completed",
        "data": {"id": "batch_1"},
    }


@pytest.mark.parametrize("secret", [secret_of(b"k" * 32), "any other string"])
def test_openais_sdk_accepts_a_valid_signature_and_no_other(secret: str) -> None:
    body = body_of(EVENT)
    headers = headers_of(endpoint(secret), EVENT, body, NOW)
    verify = OpenAI(api_key="k", webhook_secret=secret).webhooks.verify_signature
    verify(body, headers, tolerance=1 << 40)
    for changed in (body + b" ", body.replace(b"batch_1", b"batch_2")):
        with pytest.raises(InvalidWebhookSignatureError):
            verify(changed, headers, tolerance=1 << 40)


def test_the_old_secret_signs_too_until_it_expires() -> None:
    rotated = endpoint("whsec_bmV3", "whsec_b2xk", NOW + 1000)
    body = body_of(EVENT)
    both = headers_of(rotated, EVENT, body, NOW)["webhook-signature"].split(" ")
    assert both == [signature(secret, "evt_1", NOW // 1000, body) for secret in ("whsec_bmV3", "whsec_b2xk")]
    assert len(headers_of(rotated, EVENT, body, NOW + 1000)["webhook-signature"].split(" ")) == 1


def test_attempts_back_off_and_span_three_days() -> None:
    delays = [backoff(attempts) for attempts in range(1, 40)]
    assert delays[:4] == [5, 10, 20, 40]
    assert delays == sorted(delays)
    assert max(delays) == 4 * 3600
    assert 20 < next(n for n in range(40) if sum(delays[:n]) > LIFETIME_S) < 35


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255",
     "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "2002:a00:1::"],
)  # fmt: skip
def test_local_and_private_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("url", ["https://example.com", "https://example.com:8443/a?b=c", "https://8.8.8.8/x"])
def test_a_public_url_is_allowed(url: str) -> None:
    check_url(url, private=False)


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "http://example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://127.0.0.1/",
     "https://[::1]/", "https://10.0.0.1", "https://exa mple.com", "https://example.com:x/", "https://[1", "https://ex\u00e4mple.com", "file:///etc"],
)  # fmt: skip
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(BatchwireError, match="'url'"):
        check_url(url, private=False)


def test_http_and_private_addresses_are_allowed_if_configured() -> None:
    check_url("http://127.0.0.1:8000/hook", private=True)
    with pytest.raises(BatchwireError):
        check_url("gopher://127.0.0.1", private=True)


def test_event_types_must_be_known_and_are_deduplicated() -> None:
    assert check_event_types(["batch.failed", "batch.failed"]) == ("batch.failed",)
    with pytest.raises(BatchwireError, match="Supported values are"):
        check_event_types(["response.completed"])


def test_each_subscribed_endpoint_gets_the_same_event() -> None:
    batch = Batch(
        "batch_1", "acme", "/v1/completions", "file-1", "k", 1, "24h", 86400, None, status=BatchStatus.CANCELLED
    )
    endpoints = [("a", {"batch.cancelled"}), ("b", {"batch.failed"}), ("c", set(EVENT_TYPES))]
    made = deliveries(batch, NOW, endpoints)
    assert [each.endpoint_id for each in made] == ["a", "c"]
    assert made[0].event == made[1].event
    event = made[0].event
    assert (event.type, event.created_at, event.batch_id) == ("batch.cancelled", NOW, "batch_1")
