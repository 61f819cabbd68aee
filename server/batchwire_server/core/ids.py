"""Opaque ids: a prefix that people recognise and 96 or 128 random bits."""

from __future__ import annotations

import secrets


def file_id() -> str:
    """Returns a new file id, such as `file-0f3c…` (24 hexadecimal digits)."""
    return f"file-{secrets.token_hex(12)}"


def upload_id() -> str:
    """Returns a new upload id."""
    return f"upload_{secrets.token_hex(12)}"


def part_id() -> str:
    """Returns a new id of a part of an upload."""
    return f"part_{secrets.token_hex(12)}"


def batch_id() -> str:
    """Returns a new batch id, such as `batch_9d1e…` (32 hexadecimal digits)."""
    return f"batch_{secrets.token_hex(16)}"


def key_id() -> str:
    """Returns a new id of an API key; not the key itself."""
    return f"key_{secrets.token_hex(8)}"


def webhook_endpoint_id() -> str:
    """Returns a new id of a webhook endpoint."""
    return f"whe_{secrets.token_hex(12)}"


def event_id() -> str:
    """Returns a new id of an event."""
    return f"evt_{secrets.token_hex(16)}"


def line_id(batch_id: str, line: int) -> bytes:
    """Returns the id of a batch's line: the same whenever the line is run again."""
    return b"batch_req_%b%07d" % (batch_id.removeprefix("batch_").encode(), line)


def line_of(line_id: str, batch_id: str) -> int:
    """Returns the number of the line that an id was made for."""
    return int(line_id.removeprefix(f"batch_req_{batch_id.removeprefix('batch_')}"))
