"""What callers may ask for. The defaults are OpenAI's where it has some."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
NO_LIMIT = 1 << 62
"""A number of bytes that nothing exceeds, for files that the server itself writes."""

HOUR_MS = 3_600_000
MAX_WAIT_S = 60
"""OpenAI's SDKs wait no longer than this by themselves."""

UPLOAD_PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
"""The purposes that an upload may name, in the order in which OpenAI's message lists them."""

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/responses",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may ask for; sizes in bytes, times in seconds.

    Attributes:
        max_file_bytes: of an uploaded file, and of a batch's input.
        max_part_bytes: of one part of an upload.
        max_line_bytes: of one line of a batch's input.
        min_lines, max_lines: of a batch's input.
        max_embedding_inputs: of all lines of a batch for `/v1/embeddings` together.
        batches_per_hour: that a tenant may create; 0 for any number.
        endpoints: what a batch may call.
        require_jsonl_name: whether a batch's input must be named `*.jsonl`, as OpenAI wants it.
        batch_file_lifetime: of a batch's input and of what it leaves, unless the caller says otherwise.
        upload_lifetime: of an upload that is not completed.
    """

    max_file_bytes: int = 200 * MIB
    max_part_bytes: int = 64 * MIB
    max_line_bytes: int = 16 * MIB
    max_lines: int = 50_000
    min_lines: int = 1
    max_embedding_inputs: int = 50_000
    batches_per_hour: int = 0
    endpoints: tuple[str, ...] = ENDPOINTS
    require_jsonl_name: bool = True
    batch_file_lifetime: int = 30 * 86400
    upload_lifetime: int = 3600


def wait_for_room(oldest: int, now: int) -> int:
    """Returns the seconds to wait for a tenant whose hour is full, until the `oldest` of what fills it is an hour old, or to ask again."""
    return min((oldest + HOUR_MS - now) // 1000 + 1, MAX_WAIT_S)
