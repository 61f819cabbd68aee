"""Input lines, and invariants of result files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def chat_line(custom_id: str, text: str = "hello", model: str = "echo", **more: Any) -> dict[str, Any]:
    """Return one line of a chat batch."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def jsonl(lines: Iterable[Any]) -> bytes:
    """Return lines as the content of a JSONL file."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def chat_file(count: int, model: str = "echo", prefix: str = "line") -> bytes:
    """Return the input of a chat batch of `count` lines, whose texts are their custom_ids."""
    return jsonl(chat_line(f"{prefix}-{number}", f"{prefix}-{number}", model) for number in range(count))


def ids_of(content: bytes) -> list[str]:
    """Return the custom_ids of a result file, in file order."""
    return [json.loads(line)["custom_id"] for line in content.splitlines()]


def check_invariants(total: int, completed: int, failed: int, output: bytes, errors: bytes) -> None:
    """Check the invariants of an ended batch that passed validation."""
    answered, unanswered = ids_of(output), ids_of(errors)
    assert len(answered) + len(unanswered) == total
    assert len(answered) == completed
    assert len(unanswered) == failed
    assert len({*answered, *unanswered}) == total, "a line occurs twice"
    for line in output.splitlines():
        assert json.loads(line)["response"]["status_code"] // 100 == 2
    for line in errors.splitlines():
        response = json.loads(line)["response"]
        assert response is None or response["status_code"] // 100 != 2
