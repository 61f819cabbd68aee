"""Finished lines: what an upstream said, or why nothing was, as a line of the output or of the error file.

The bytes of an answer go into the line as they came; only the line feeds and carriage returns between its tokens are taken out, which
JSON allows nowhere else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal

import msgspec

from batchwire_server.core.records import NO_USAGE, Usage

_encode = msgspec.json.encode
_NEWLINES = b"\r\n"


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What an upstream answered. `retry_after` is in seconds, when it asked for that."""

    status: int
    body: bytes
    request_id: str | None = None
    retry_after: float | None = None


class NoReplyKind(StrEnum):
    """Why an upstream did not answer."""

    UNREACHABLE = "unreachable"  # no connection came about: the call was never sent
    BROKEN = "broken"  # the connection broke, or what came was no HTTP
    CRASHED = "crashed"  # the process that called has ended, time and again
    TIMEOUT = "timeout"


class NoReply(msgspec.Struct, frozen=True, gc=False):
    """An upstream that did not answer."""

    kind: NoReplyKind
    message: str


class _Details(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True, gc=False):
    # Chat and completions say prompt and completion, responses say input and output; embeddings have no answer's tokens.
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Answer(msgspec.Struct, frozen=True, gc=False):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)
_anything = msgspec.json.Decoder(msgspec.Raw)

MAX_TOKENS = 1 << 40
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def read_usage(body: bytes) -> Usage | None:
    """Returns the tokens that an answer says it used, zeros where it does not say; None when the body is no JSON in UTF-8."""
    try:
        if not body.isascii():
            body.decode()  # the decoder does not look into strings that it skips
        usage = _decode_usage(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if usage is None:
        return NO_USAGE
    read = _count(usage.input_tokens or usage.prompt_tokens)
    written = _count(usage.output_tokens or usage.completion_tokens)
    read_details = usage.input_tokens_details or usage.prompt_tokens_details
    written_details = usage.output_tokens_details or usage.completion_tokens_details
    return Usage(
        input_tokens=read,
        cached_tokens=_count(read_details.cached_tokens if read_details else 0),
        output_tokens=written,
        reasoning_tokens=_count(written_details.reasoning_tokens if written_details else 0),
        total_tokens=_count(usage.total_tokens) or read + written,
    )


def read_result(result: Reply | NoReply) -> tuple[Reply | NoReply, Usage | None]:
    """Returns a result, a success that is no JSON being none, and what it used; None when it is no JSON."""
    if isinstance(result, NoReply):
        return result, None
    usage = read_usage(result.body)
    if usage is None and 200 <= result.status < 300:
        return NoReply(NoReplyKind.BROKEN, "the answer is not JSON"), None
    return result, usage


def _count(tokens: int | None) -> int:
    """Returns a number of tokens that a sum of many can bear, whatever the upstream says."""
    return min(max(tokens, 0), MAX_TOKENS) if tokens else 0


def _decode_usage(body: bytes) -> _Usage | None:
    try:
        return _answer.decode(body).usage
    except msgspec.ValidationError:
        _anything.decode(body)  # of another shape, then; but the decoder stopped where it saw that
        return None
    except msgspec.DecodeError:
        # The decoder refuses half a surrogate pair, which JSON allows and models do answer when cut off within a character.
        if (mended := _SURROGATE.sub(rb"\\u003f", body)) == body:
            raise
        return _decode_usage(mended)


def wrap_as_error(reply: Reply) -> bytes:
    """Returns an error body around an answer that is no JSON, such as a proxy's page."""
    text = reply.body.decode(errors="replace")[:4096]
    kind = "server_error" if reply.status >= 500 else "invalid_request_error"
    return _encode({"error": {"message": text, "type": kind, "param": None, "code": None}})


def response_line(line_id: bytes, custom_id: bytes, reply: Reply) -> bytes:
    """Returns the line of an answer, whatever its status. `custom_id` is JSON, quotes and all, and so must the reply's body be."""
    return b'{"id":"%b","custom_id":%b,"response":{"status_code":%d,"request_id":%b,"body":%b},"error":null}\n' % (
        line_id,
        custom_id,
        reply.status,
        _encode(reply.request_id) if reply.request_id else b'"%b"' % line_id.replace(b"batch_req_", b"req_", 1),
        reply.body.translate(None, _NEWLINES),
    )


UnrunReason = Literal["batch_expired", "batch_cancelled"]

LINE_ERRORS: dict[UnrunReason | NoReplyKind, tuple[str, str]] = {
    "batch_expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "batch_cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    NoReplyKind.TIMEOUT: ("request_timeout", "The upstream did not answer in time."),
    NoReplyKind.UNREACHABLE: ("server_error", "The upstream could not be reached or broke off."),
    NoReplyKind.BROKEN: ("server_error", "The upstream could not be reached or broke off."),
    NoReplyKind.CRASHED: (
        "server_error",
        "This request was given up: the server process that ran it crashed repeatedly.",
    ),
}
"""Why a request has no answer: code and message."""


def error_line(line_id: bytes, custom_id: bytes, why: UnrunReason | NoReplyKind) -> bytes:
    """Returns the line of a request that got no answer."""
    code, message = LINE_ERRORS[why]
    error = _encode({"code": code, "message": message})
    return b'{"id":"%b","custom_id":%b,"response":null,"error":%b}\n' % (line_id, custom_id, error)
