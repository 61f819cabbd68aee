"""Input lines: splits bytes into lines, and checks each line.

A line ends with LF or CR LF; the last may end without. Blank lines are skipped but count for line
numbers. A byte order mark at the start is dropped. Bodies are never re-encoded: a body is a slice
of its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from batchwire_server.core.errors import shorten
from batchwire_server.core.limits import CHAT_COMPLETIONS
from batchwire_server.core.records import InputError, LineRules, Shard

BOM = b"\xef\xbb\xbf"
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')  # matches strings too, so that brackets within them are skipped
BLANKS = b" \t\r"
"""The characters of a blank line."""

MAX_CUSTOM_ID = 512
MAX_DEPTH = 200


class RawLine(msgspec.Struct, frozen=True, gc=False):
    """A line of the input that is not blank.

    `text` is None if the line is too long. `offset` and `size` are in bytes; `size` includes the
    line's end.
    """

    number: int
    offset: int
    size: int
    text: bytes | None


class LineSplitter:
    """Splits a stream of blocks into lines. Holds at most one line of at most `max_bytes`."""

    def __init__(self, max_bytes: int, *, first_line: int = 1, offset: int = 0) -> None:
        self._max = max_bytes
        self._number = first_line
        self._offset = offset  # where the current line begins
        self._parts: list[bytes] = []
        self._collected = 0

    def feed(self, block: bytes) -> Iterator[RawLine]:
        """Yield the lines that end within `block`."""
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            if (line := self._line(block[start:end], ended=True)) is not None:
                yield line
            start = end + 1
        if start < len(block):
            self._collect(block[start:])

    def finish(self) -> Iterator[RawLine]:
        """Yield the last line if it ends without a line feed."""
        if self._collected and (line := self._line(b"", ended=False)) is not None:
            yield line

    def _collect(self, part: bytes) -> None:
        self._collected += len(part)
        if self._collected > self._max:
            self._parts.clear()
        else:
            self._parts.append(part)

    def _line(self, tail: bytes, *, ended: bool) -> RawLine | None:
        """End the current line. Return it unless it is blank."""
        length = self._collected + len(tail)
        text: bytes | None = tail if length <= self._max else None
        if self._collected:
            if text is not None:
                text = b"".join((*self._parts, tail))
            self._parts.clear()
            self._collected = 0
        number, offset, size = self._number, self._offset, length + ended
        self._number += 1
        self._offset += size
        if text is not None:
            if not offset and text.startswith(BOM):
                text = text[len(BOM) :]
            if not text.strip(BLANKS):
                return None
        return RawLine(number, offset, size, text)


def shard_lines(piece: bytes, shard: Shard) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each line of a shard's window that is not blank.

    Args:
        piece: the bytes of the window. Its lines have passed validation.
        shard: the shard. Lines of the window's other shards are yielded too.
    """
    if not shard.offset:
        piece = piece.removeprefix(BOM)
    for number, text in enumerate(piece.split(b"\n"), shard.first_line):
        if text.strip(BLANKS):
            yield number, text


class Head(msgspec.Struct, frozen=True, gc=False):
    """The fields of a request's body that validation reads. All others are passed on unread."""

    model: str = ""
    stream: bool | None = None
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()


class CheckedLine(msgspec.Struct, frozen=True, gc=False):
    """A valid line, as validation reads it."""

    custom_id: str
    body: Head
    method: str = ""
    url: str = ""


class Call(msgspec.Struct, frozen=True, gc=False):
    """A line as it runs: the caller's own bytes, including those of `custom_id`."""

    custom_id: msgspec.Raw
    body: msgspec.Raw


class _ModelOf(msgspec.Struct, frozen=True):
    body: Head


_checked = msgspec.json.Decoder(CheckedLine)
_call = msgspec.json.Decoder(Call)
_model_of = msgspec.json.Decoder(_ModelOf)
_anything = msgspec.json.Decoder(float_hook=float)  # reads a number too large for a float as infinity
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_call(text: bytes) -> Call:
    """Read a line that has passed validation."""
    return _call.decode(text)


def read_model(text: bytes) -> str:
    """Return the model of a line that has passed validation."""
    return _model_of.decode(text).body.model


STRICT = LineRules()


def check_line(
    line: RawLine, endpoint: str, max_bytes: int, rules: LineRules = STRICT, *, needs_model: bool = True
) -> CheckedLine | list[InputError]:
    """Return the line's fields, or all its errors.

    Args:
        line: the line.
        endpoint: the endpoint of its batch.
        max_bytes: the limit of a line, for the message.
        rules: the allowed differences from OpenAI's rules.
        needs_model: whether its body must name a model.
    """
    if line.text is None:
        message = f"This line is larger than the {max_bytes} byte maximum."
        return [InputError("invalid_request", message, line=line.number)]
    if nests_too_deeply(line.text):
        return [_unparseable(line)]
    try:
        if not line.text.isascii():
            line.text.decode()  # the decoder below does not check strings that it skips
        checked = _checked.decode(line.text)
    except (UnicodeDecodeError, RecursionError):
        return [_unparseable(line)]
    except msgspec.DecodeError:
        return _explain(line, endpoint, rules, needs_model=needs_model)
    method, url = (checked.method, checked.url)
    if rules.default_target:
        method, url = method or "POST", url or endpoint
    body = checked.body
    targeted = method == "POST" and _reaches(url, endpoint, rules)
    fit = (bool(body.model) or not needs_model) and (not body.stream or rules.drop_stream)
    fit = fit and (bool(body.messages) or endpoint != CHAT_COMPLETIONS) and "\0" not in body.model
    if targeted and fit and 0 < len(checked.custom_id) <= MAX_CUSTOM_ID:
        return checked
    return _explain(line, endpoint, rules, needs_model=needs_model)


def nests_too_deeply(text: bytes) -> bool:
    """Return whether JSON nests deeper than any request does.

    The depth at which decoders fail depends on their caller's stack, so there is a fixed limit.
    """
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in _NESTING.findall(text):
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            return True
    return False


def _unparseable(line: RawLine) -> InputError:
    return InputError("invalid_json_line", "This line is not parseable as valid JSON.", line=line.number)


def _missing(param: str) -> tuple[str, str, str]:
    return "missing_required_parameter", f"Missing required parameter: '{param}'.", param


def _wrong_type(param: str, wanted: str, value: object) -> tuple[str, str, str]:
    message = f"Invalid type for '{param}': expected {wanted}, but got {json_type(value)} instead."
    return "invalid_type", message, param


def _explain(line: RawLine, endpoint: str, rules: LineRules, *, needs_model: bool) -> list[InputError]:
    """Return all errors of an invalid line."""
    try:
        value = _anything.decode(line.text or b"")
    except msgspec.DecodeError:
        return [_unparseable(line)]
    if not isinstance(value, dict):
        return [_unparseable(line)]
    found = [
        *_custom_id_errors(value),
        *_target_errors(value, endpoint, rules),
        *_body_errors(value, endpoint, rules, needs_model=needs_model),
    ]
    # The two decoders differ only on a key that occurs twice, once with a wrong type.
    return [InputError(code, message, param, line.number) for code, message, param in found] or [_unparseable(line)]


def _reaches(url: object, endpoint: str, rules: LineRules) -> bool:
    return url == endpoint or (rules.unversioned_target and url == endpoint.removeprefix("/v1"))


def _custom_id_errors(value: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    custom_id = value.get("custom_id")
    if custom_id is None or custom_id == "":
        yield _missing("custom_id")
    elif not isinstance(custom_id, str):
        yield _wrong_type("custom_id", "a string", custom_id)
    elif len(custom_id) > MAX_CUSTOM_ID:
        message = f"Invalid 'custom_id': string too long. Expected a string with maximum length {MAX_CUSTOM_ID}."
        yield "string_above_max_length", message, "custom_id"


def _target_errors(value: dict[str, Any], endpoint: str, rules: LineRules) -> Iterator[tuple[str, str, str]]:
    method, url = value.get("method"), value.get("url")
    if rules.default_target:
        method, url = method or "POST", url or endpoint
    if method is None:
        yield _missing("method")
    elif method != "POST":
        yield "invalid_value", f"Invalid value: '{shorten(str(method))}'. Supported values are: 'POST'.", "method"
    if url is None:
        yield _missing("url")
    elif not _reaches(url, endpoint, rules):
        yield "invalid_url", "The URL provided for this request does not match the batch endpoint.", "url"


def _body_errors(
    value: dict[str, Any], endpoint: str, rules: LineRules, *, needs_model: bool
) -> Iterator[tuple[str, str, str]]:
    body = value.get("body")
    if body is None:
        yield _missing("body")
    elif not isinstance(body, dict):
        yield _wrong_type("body", "an object", body)
    else:
        model, stream = body.get("model"), body.get("stream")
        if model is None or model == "":
            if needs_model:
                yield "invalid_request", "Model parameter is required.", "body.model"
        elif not isinstance(model, str):
            yield _wrong_type("body.model", "a string", model)
        elif "\0" in model:  # PostgreSQL cannot store it
            yield "invalid_value", "Invalid 'body.model': it has a NUL character.", "body.model"
        if endpoint == CHAT_COMPLETIONS and "messages" not in body:
            yield "invalid_request", "Messages parameter is required.", "body.messages"
        if stream is not None and not isinstance(stream, bool):
            yield _wrong_type("body.stream", "a boolean", stream)
        elif stream and not rules.drop_stream:
            message = "Chat Completions: Streaming is not supported in the Batch API."
            yield "streaming_unsupported", message, "body.stream"


def count_inputs(body: Head) -> int:
    """Return the number of inputs of an embeddings request: 1, or the length of an array of inputs.

    An array of integers is one input, as tokens.
    """
    if not bytes(body.input).startswith(b"["):
        return 1
    try:
        elements = _elements.decode(body.input)
    except msgspec.DecodeError:
        return 1
    return 1 if elements and bytes(elements[0]).isdigit() else len(elements)


_JSON_TYPES: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    list: "an array",
    dict: "an object",
}


def json_type(value: object) -> str:
    """Return the name of a decoded value's JSON type in OpenAI's messages."""
    return _JSON_TYPES.get(type(value), "null")


def looks_like_request(line: bytes) -> bool:
    """Return whether a line is a JSON object.

    An upload checks this of a file's first line that is not blank, and nothing else of its content.
    """
    try:
        _object.decode(line.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
