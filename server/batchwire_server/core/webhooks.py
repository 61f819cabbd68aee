"""Webhooks after Standard Webhooks: what is posted, how it is signed, when it is tried again, and where it may go."""

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
    """Returns the event of entering a terminal state."""
    return f"batch.{status}"


def deliveries(batch: Batch, now: int, endpoints: Iterable[tuple[str, Collection[str]]]) -> list[Delivery]:
    """Returns what is to be delivered when a batch has entered the state that it is in: the same event to each endpoint that wants it.

    Args:
        batch: as it is now.
        now: when it entered its state.
        endpoints: ids of its tenant's endpoints, and which types of events each wants.
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
    """Returns a key as its owner sees it."""
    return PREFIX + base64.b64encode(key).decode()


def secret_hint(secret: str) -> str:
    """Returns what may be shown of a secret."""
    return f"{PREFIX}…{secret[-4:]}"


def body_of(event: Event) -> bytes:
    """Returns what is posted: the same bytes each time."""
    said = {
        "id": event.id,
        "object": "event",
        "created_at": event.created_at // 1000,
        "type": event.type,
        "data": {"id": event.batch_id},
    }
    return json.dumps(said, separators=(",", ":")).encode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Returns one signature: `v1,` and the HMAC-SHA256 of id, time in seconds and body, in Base64."""
    key = secret.encode()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:  # not of our making: its bytes are the key, as receivers take it
            key = secret.encode()
    digest = hmac.digest(key, b"%b.%d.%b" % (event_id.encode(), timestamp, body), hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def headers_of(endpoint: WebhookEndpoint, event: Event, body: bytes, now: int) -> dict[str, str]:
    """Returns the headers of a delivery at `now`, in milliseconds."""
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
    """Returns the seconds until the next try, after so many have failed: 5 s, doubling up to 4 h."""
    return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempts - 1, 20))


def is_public(address: str) -> bool:
    """Tells whether an IP address is one of the public internet's: not of this machine, a private net, a link or a group."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and (inner := parsed.ipv4_mapped or parsed.sixtofour):
        parsed = inner
    return parsed.is_global and not parsed.is_multicast


def check_url(url: str, *, private: bool) -> None:
    """Raises BatchwireError for a URL that must not be posted to. Names are looked up, and judged, when something is posted.

    Args:
        url: what the caller says.
        private: whether http and private addresses are allowed.
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
        return  # a name
    if not public and not private:
        raise invalid_value("url", "Invalid 'url': private addresses are not allowed.")


def check_event_types(types: Iterable[str]) -> tuple[str, ...]:
    """Returns the events without repetition. Raises BatchwireError for one that there is not."""
    wanted = tuple(dict.fromkeys(types))
    for type_ in wanted:
        if type_ not in EVENT_TYPES:
            raise unsupported_value("event_types", type_, EVENT_TYPES)
    return wanted
