"""Limits of requests. The defaults are OpenAI's where it has one."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
NO_LIMIT = 1 << 62
"""More bytes than any file has: for files that the server itself writes."""

HOUR_MS = 3_600_000
MAX_WAIT_S = 60
"""The longest Retry-After that OpenAI's SDKs obey."""

UPLOAD_PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
"""The purposes of an upload, in the order of OpenAI's error message."""

CHAT_COMPLETIONS = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
MODERATIONS = "/v1/moderations"
RESPONSES = "/v1/responses"
ENDPOINTS = (CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES)
"""The endpoints that a batch may call, as OpenAI names them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of requests. Sizes are in bytes, times in seconds.

    Attributes:
        max_file_bytes: of an uploaded file, and of a batch's input.
        max_part_bytes: of one part of an upload.
        max_line_bytes: of one line of a batch's input.
        max_lines: of a batch's input.
        min_lines: of a batch's input.
        max_embedding_inputs: of all lines of a batch for `/v1/embeddings` in total.
        batches_per_hour: of a tenant; 0 means no limit.
        endpoints: the endpoints that a batch may call.
        require_jsonl_name: whether a batch's input must be named `*.jsonl`, as OpenAI requires.
        batch_file_lifetime: of a batch's files, unless the caller sets another.
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
    """Return Retry-After in seconds: when the oldest batch leaves the tenant's hourly window.

    It is at most `MAX_WAIT_S`. `oldest` and `now` are in milliseconds.
    """
    return min((oldest + HOUR_MS - now) // 1000 + 1, MAX_WAIT_S)
