"""The built-in model `echo`: it answers at once with its input.

Equal requests get equal answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from batchwire_server.core.limits import CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES
from batchwire_server.core.records import Model
from batchwire_server.core.results import NoReply, Reply

MODEL = "echo"
CREATED = 1_704_067_200  # 2024-01-01: constant, so that equal requests get equal answers
EMBEDDING_DIMENSIONS = 8


_request = msgspec.json.Decoder(float_hook=float)  # parses a number too large for a float as infinity


def _text(content: Any) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens(text: str) -> int:
    return len(text.split())


def _inputs(body: dict[str, Any], field: str) -> list[str]:
    value = body.get(field, "")
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _messages(body: dict[str, Any], field: str) -> list[str]:
    value = body.get(field)
    if isinstance(value, str):
        return [value]
    items = value if isinstance(value, list) else []
    return [_text(item.get("content")) for item in items if isinstance(item, dict)]


def _usage(read: list[str], written: str) -> dict[str, int]:
    prompt, completion = sum(map(_tokens, read)), _tokens(written)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    messages = _messages(body, "messages")
    text = messages[-1] if messages else ""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "object": "chat.completion",
        "created": CREATED,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(messages, text),
    }


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    prompts = _inputs(body, "prompt")
    choices = [
        {"index": index, "text": prompt, "logprobs": None, "finish_reason": "stop"}
        for index, prompt in enumerate(prompts)
    ]
    usage = _usage(prompts, " ".join(prompts))
    return {"object": "text_completion", "created": CREATED, "model": MODEL, "choices": choices, "usage": usage}


def _embedding(body: dict[str, Any]) -> dict[str, Any]:
    inputs = _inputs(body, "input")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": [
                round(byte / 255, 6) for byte in hashlib.sha256(text.encode()).digest()[:EMBEDDING_DIMENSIONS]
            ],
        }
        for index, text in enumerate(inputs)
    ]
    prompt = sum(map(_tokens, inputs))
    return {"object": "list", "model": MODEL, "data": data, "usage": {"prompt_tokens": prompt, "total_tokens": prompt}}


def _response(body: dict[str, Any]) -> dict[str, Any]:
    messages = _messages(body, "input")
    text = messages[-1] if messages else ""
    content = {"type": "output_text", "text": text, "annotations": []}
    usage = _usage(messages, text)
    return {
        "object": "response",
        "created_at": CREATED,
        "model": MODEL,
        "status": "completed",
        "output": [
            {"type": "message", "id": "msg_echo", "status": "completed", "role": "assistant", "content": [content]}
        ],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _moderation(body: dict[str, Any]) -> dict[str, Any]:
    results = [{"flagged": False, "categories": {}, "category_scores": {}} for _ in _inputs(body, "input")]
    return {"model": MODEL, "results": results}


_ANSWERS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    CHAT_COMPLETIONS: ("chatcmpl", _chat),
    COMPLETIONS: ("cmpl", _completion),
    EMBEDDINGS: ("embd", _embedding),
    MODERATIONS: ("modr", _moderation),
    RESPONSES: ("resp", _response),
}


class EchoUpstream:
    """The Upstream that runs in this process."""

    @property
    def name(self) -> str:
        """The name of the model."""
        return MODEL

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """See Upstream."""
        request = _request.decode(body)
        if not isinstance(request, dict) or endpoint not in _ANSWERS:
            message = f"The echo model does not answer {endpoint}"
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
            return Reply(404, msgspec.json.encode({"error": error}))
        prefix, answer = _ANSWERS[endpoint]
        answer_id = f"{prefix}-{hashlib.sha256(body).hexdigest()[:24]}"
        return Reply(200, msgspec.json.encode({"id": answer_id, **answer(request)}), f"req_{answer_id[-24:]}")

    async def models(self) -> list[Model]:
        """Return the one model."""
        return [Model(MODEL, CREATED, "batchwire")]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""
