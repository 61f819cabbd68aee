"""Opaque ids: a prefix for people, and 64 to 128 random bits."""

from __future__ import annotations

import secrets


def file_id() -> str:
    """Return a new file id, such as `file-0f3c…` (24 hexadecimal digits)."""
    return f"file-{secrets.token_hex(12)}"


def upload_id() -> str:
    """Return a new upload id."""
    return f"upload_{secrets.token_hex(12)}"


def part_id() -> str:
    """Return a new id of a part of an upload."""
    return f"part_{secrets.token_hex(12)}"


def batch_id() -> str:
    """Return a new batch id, such as `batch_9d1e…` (32 hexadecimal digits)."""
    return f"batch_{secrets.token_hex(16)}"


def key_id() -> str:
    """Return a new id of an API key; not the key itself."""
    return f"key_{secrets.token_hex(8)}"


def webhook_endpoint_id() -> str:
    """Return a new id of a webhook endpoint."""
    return f"whe_{secrets.token_hex(12)}"


def event_id() -> str:
    """Return a new id of an event."""
    return f"evt_{secrets.token_hex(16)}"


def line_id(batch_id: str, line: int) -> bytes:
    """Return the id of a line of a batch. It is the same each time the line runs."""
    return b"batch_req_%b%07d" % (batch_id.removeprefix("batch_").encode(), line)


def line_of(line_id: str, batch_id: str) -> int:
    """Return the number of the line that has an id."""
    return int(line_id.removeprefix(f"batch_req_{batch_id.removeprefix('batch_')}"))
