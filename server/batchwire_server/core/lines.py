"""Input lines: how bytes become lines, and how a line becomes a call or an error.

Lines end with LF (a CR before it goes with it), the last needs no end, blank lines are skipped but counted, and one byte order
mark at the start is dropped. Bodies are never re-encoded: a line's body is a slice of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from batchwire_server.core.errors import shorten
from batchwire_server.core.records import InputError, LineRules, Shard

BOM = b"\xef\xbb\xbf"
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')  # strings are matched to be passed over
BLANKS = b" \t\r"
"""What a blank line may have."""

MAX_CUSTOM_ID = 512
MAX_DEPTH = 200


class RawLine(msgspec.Struct, frozen=True, gc=False):
    """One line of the input that is not blank.

    `text` is None when the line is longer than allowed; `offset` and `size` are in bytes and cover the line's end too.
    """

    number: int
    offset: int
    size: int
    text: bytes | None


class LineSplitter:
    """Cuts a stream of blocks into lines, holding no more than one line that is within `max_bytes`."""

    def __init__(self, max_bytes: int, *, first_line: int = 1, offset: int = 0) -> None:
        self._max = max_bytes
        self._number = first_line
        self._offset = offset  # where the line that is being gathered begins
        self._parts: list[bytes] = []
        self._gathered = 0

    def feed(self, block: bytes) -> Iterator[RawLine]:
        """Yields the lines that end within `block`."""
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            if (line := self._line(block[start:end], ended=True)) is not None:
                yield line
            start = end + 1
        if start < len(block):
            self._gather(block[start:])

    def finish(self) -> Iterator[RawLine]:
        """Yields the last line, if it has no end."""
        if self._gathered and (line := self._line(b"", ended=False)) is not None:
            yield line

    def _gather(self, part: bytes) -> None:
        self._gathered += len(part)
        if self._gathered > self._max:
            self._parts.clear()
        else:
            self._parts.append(part)

    def _line(self, tail: bytes, *, ended: bool) -> RawLine | None:
        """Ends a line; returns it unless it is blank."""
        length = self._gathered + len(tail)
        text: bytes | None = tail if length <= self._max else None
        if self._gathered:
            if text is not None:
                text = b"".join((*self._parts, tail))
            self._parts.clear()
            self._gathered = 0
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
    """Yields number and text of each line that is not blank, of the piece of a validated input where a shard stands.

    What is said of lines above holds here too; how long one may be, validation has seen to.
    """
    if not shard.offset:
        piece = piece.removeprefix(BOM)
    for number, text in enumerate(piece.split(b"\n"), shard.first_line):
        if text.strip(BLANKS):
            yield number, text


class Head(msgspec.Struct, frozen=True, gc=False):
    """What validation looks at in a request's body; the rest is the upstream's business."""

    model: str = ""
    stream: bool | None = None
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()


class CheckedLine(msgspec.Struct, frozen=True, gc=False):
    """A line that is as it should be, read for validation."""

    custom_id: str
    body: Head
    method: str = ""
    url: str = ""


class Call(msgspec.Struct, frozen=True, gc=False):
    """A line as it is run: the caller's own bytes, custom_id included."""

    custom_id: msgspec.Raw
    body: msgspec.Raw


class _ModelOf(msgspec.Struct, frozen=True):
    body: Head


_checked = msgspec.json.Decoder(CheckedLine)
_call = msgspec.json.Decoder(Call)
_model_of = msgspec.json.Decoder(_ModelOf)
_anything = msgspec.json.Decoder(float_hook=float)  # a number beyond a float is still a number
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_call(text: bytes) -> Call:
    """Reads a line that validation has passed."""
    return _call.decode(text)


def read_model(text: bytes) -> str:
    """Returns the model that a line names, one that validation has passed."""
    return _model_of.decode(text).body.model


STRICT = LineRules()
CHAT = "/v1/chat/completions"


def check_line(
    line: RawLine, endpoint: str, max_bytes: int, rules: LineRules = STRICT, *, needs_model: bool = True
) -> CheckedLine | list[InputError]:
    """Returns the line's fields, or all that is wrong with it.

    Args:
        line: the line.
        endpoint: what its batch calls.
        max_bytes: how long it may be.
        rules: where it may differ from OpenAI's rules.
        needs_model: whether its body must name a model.
    """
    if line.text is None:
        message = f"This line is larger than the {max_bytes} byte maximum."
        return [InputError("invalid_request", message, line=line.number)]
    if nests_too_deeply(line.text):
        return [_unparseable(line)]
    try:
        if not line.text.isascii():
            line.text.decode()  # the decoder below does not look into strings that it skips
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
    fit = fit and (bool(body.messages) or endpoint != CHAT) and "\0" not in body.model
    if targeted and fit and 0 < len(checked.custom_id) <= MAX_CUSTOM_ID:
        return checked
    return _explain(line, endpoint, rules, needs_model=needs_model)


def nests_too_deeply(text: bytes) -> bool:
    """Tells whether JSON nests deeper than any request does: decoders give up at a depth that depends on who calls them."""
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
    """Finds all that is wrong with a line that is not as it should be."""
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
    # A key that is there twice, once of a wrong type, is the one thing that the decoders see differently.
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
        elif "\0" in model:  # which a database may be unable to keep
            yield "invalid_value", "Invalid 'body.model': it has a NUL character.", "body.model"
        if endpoint == CHAT and "messages" not in body:
            yield "invalid_request", "Messages parameter is required.", "body.messages"
        if stream is not None and not isinstance(stream, bool):
            yield _wrong_type("body.stream", "a boolean", stream)
        elif stream and not rules.drop_stream:
            message = "Chat Completions: Streaming is not supported in the Batch API."
            yield "streaming_unsupported", message, "body.stream"


def count_inputs(body: Head) -> int:
    """Returns how many inputs a request for embeddings has: the elements of an array, where these are not the tokens of one input."""
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
    """Names a decoded value's JSON type as OpenAI's messages do."""
    return _JSON_TYPES.get(type(value), "null")


def looks_like_request(line: bytes) -> bool:
    """Tells whether a file's first line that is not blank is a JSON object: all that an upload checks of its content."""
    try:
        _object.decode(line.removeprefix(BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
