"""Webhooks as in Standard Webhooks: bodies, signatures, retries, and the URLs that are allowed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Collection, Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from batchwire_server.core import ids
from batchwire_server.core.errors import invalid_value, unsupported_value
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.records import Batch, Delivery, Event, WebhookEndpoint


def event_type(status: BatchStatus) -> str:
    """Return the event type of a terminal status."""
    return f"batch.{status}"


def deliveries(batch: Batch, now: int, endpoints: Iterable[tuple[str, Collection[str]]]) -> list[Delivery]:
    """Return the deliveries of a batch's end: the same event for each subscribed endpoint.

    Args:
        batch: the ended batch.
        now: when it ended.
        endpoints: id and subscribed event types of each of its tenant's endpoints.
    """
    event = Event(ids.event_id(), event_type(batch.status), now, batch.id)
    return [Delivery(endpoint_id, event) for endpoint_id, wanted in endpoints if event.type in wanted]


EVENT_TYPES = tuple(sorted(map(event_type, TERMINAL)))
LIFETIME_S = 72 * 3600
OLD_SECRET_S = 24 * 3600
FIRST_DELAY_S = 5.0
MAX_DELAY_S = 4 * 3600.0
PREFIX = "whsec_"


def secret_of(key: bytes) -> str:
    """Encode a signing key as the secret that its owner receives."""
    return PREFIX + base64.b64encode(key).decode()


def secret_hint(secret: str) -> str:
    """Return the part of a secret that may be shown."""
    return f"{PREFIX}…{secret[-4:]}"


def body_of(event: Event) -> bytes:
    """Return the body of a delivery: the same bytes for each attempt."""
    said = {
        "id": event.id,
        "object": "event",
        "created_at": event.created_at // 1000,
        "type": event.type,
        "data": {"id": event.batch_id},
    }
    return json.dumps(said, separators=(",", ":")).encode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,` and the HMAC-SHA256 of id, time in seconds and body, in Base64."""
    key = secret.encode()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:  # set by the caller: receivers use its bytes as the key
            key = secret.encode()
    digest = hmac.digest(key, b"%b.%d.%b" % (event_id.encode(), timestamp, body), hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def headers_of(endpoint: WebhookEndpoint, event: Event, body: bytes, now: int) -> dict[str, str]:
    """Return the headers of a delivery at `now`, in milliseconds."""
    secrets = [endpoint.secret]
    if endpoint.old_secret and now < (endpoint.old_secret_until or 0):
        secrets.append(endpoint.old_secret)
    timestamp = now // 1000
    return {
        "content-type": "application/json",
        "webhook-id": event.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, event.id, timestamp, body) for secret in secrets),
    }


def backoff(attempts: int) -> float:
    """Return the seconds until the next attempt: 5 s after the first, doubling up to 4 h."""
    return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts - 1, 20))


def is_public(address: str) -> bool:
    """Return whether an IP address is public: not loopback, private, link-local or multicast."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and (inner := parsed.ipv4_mapped or parsed.sixtofour):
        parsed = inner
    return parsed.is_global and not parsed.is_multicast


def check_url(url: str, *, private: bool) -> None:
    """Raise BatchwireError for a URL that is not allowed.

    Host names are not resolved here: each delivery resolves and checks them.

    Args:
        url: the caller's URL.
        private: allow http and private addresses.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise invalid_value("url", "Invalid 'url': it is no URL.") from None
    schemes = ("https", "http") if private else ("https",)
    if (
        parts.scheme not in schemes
        or not host
        or parts.username is not None
        or not url.isascii()
        or any(character.isspace() for character in url)
    ):
        raise invalid_value(
            "url", f"Invalid 'url': expected a URL that starts with {' or '.join(schemes)}:// and names a host."
        )
    try:
        public = is_public(host)
    except ValueError:
        return  # a host name
    if not public and not private:
        raise invalid_value("url", "Invalid 'url': private addresses are not allowed.")


def check_event_types(types: Iterable[str]) -> tuple[str, ...]:
    """Return the event types without duplicates. Raises BatchwireError for an unknown one."""
    wanted = tuple(dict.fromkeys(types))
    for type_ in wanted:
        if type_ not in EVENT_TYPES:
            raise unsupported_value("event_types", type_, EVENT_TYPES)
    return wanted
