"""Results of lines: an upstream's reply, or an error, as a line of the output or the error file.

The bytes of a reply are copied unchanged, except that line feeds and carriage returns are removed.
JSON allows these only between tokens.
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
    """An upstream's HTTP response. `retry_after` is in seconds, None if it has no such header."""

    status: int
    body: bytes
    request_id: str | None = None
    retry_after: float | None = None


class NoReplyKind(StrEnum):
    """Why there is no response."""

    UNREACHABLE = "unreachable"  # there was no connection, so the request was never sent
    BROKEN = "broken"  # the connection broke, or the response was not HTTP
    CRASHED = "crashed"  # the calling process crashed repeatedly
    TIMEOUT = "timeout"


class NoReply(msgspec.Struct, frozen=True, gc=False):
    """A call without a response."""

    kind: NoReplyKind
    message: str


class _Details(msgspec.Struct, frozen=True, gc=False):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True, gc=False):
    # Chat and completions use prompt and completion, responses use input and output.
    # Embeddings have no output tokens.
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
    """Return the usage that a response reports, zero where it reports none.

    Returns None if the body is not JSON in UTF-8.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder does not check strings that it skips
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
    """Return a result and its usage, which is None if the result is not JSON.

    A successful reply that is not JSON becomes a NoReply.
    """
    if isinstance(result, NoReply):
        return result, None
    usage = read_usage(result.body)
    if usage is None and 200 <= result.status < 300:
        return NoReply(NoReplyKind.BROKEN, "the answer is not JSON"), None
    return result, usage


def _count(tokens: int | None) -> int:
    """Return a number of tokens within bounds that sums of many cannot overflow."""
    return min(max(tokens, 0), MAX_TOKENS) if tokens else 0


def _decode_usage(body: bytes) -> _Usage | None:
    try:
        return _answer.decode(body).usage
    except msgspec.ValidationError:
        _anything.decode(body)  # not the expected types; check the rest, at which the decoder has not looked
        return None
    except msgspec.DecodeError:
        # The decoder refuses half a surrogate pair. JSON allows it, and models emit it when they
        # are cut off within a character.
        if (mended := _SURROGATE.sub(rb"\\u003f", body)) == body:
            raise
        return _decode_usage(mended)


def wrap_as_error(reply: Reply) -> bytes:
    """Return an error body that quotes a response that is not JSON, such as a proxy's page."""
    text = reply.body.decode(errors="replace")[:4096]
    kind = "server_error" if reply.status >= 500 else "invalid_request_error"
    return _encode({"error": {"message": text, "type": kind, "param": None, "code": None}})


def response_line(line_id: bytes, custom_id: bytes, reply: Reply) -> bytes:
    """Return the line of a response of any status. `custom_id` and the reply's body are JSON."""
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
"""Code and message of a line without a response."""


def error_line(line_id: bytes, custom_id: bytes, why: UnrunReason | NoReplyKind) -> bytes:
    """Return the line of a request without a response."""
    code, message = LINE_ERRORS[why]
    error = _encode({"code": code, "message": message})
    return b'{"id":"%b","custom_id":%b,"response":null,"error":%b}\n' % (line_id, custom_id, error)
