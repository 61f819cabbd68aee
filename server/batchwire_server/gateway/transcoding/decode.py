"""JSON and text as messages, by descriptor, with OpenAI's words for what does not fit.

Only what a message cannot hold is refused here. What is required and which values are allowed is the api's to say. Unknown keys are
ignored, and null means unset.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from batchwire import v1
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.descriptors import enum_words, fields_of, map_value

_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. "
    "The API expects a JSON payload, but what was sent was not valid JSON.)"
)

# What a JSON value is called in an error, by its Python type.
_NOUNS: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}

# The JSON type of a field's value, by protobuf's.
_EXPECTED: dict[int, type] = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_ENUM: str,
    FieldDescriptor.CPPTYPE_MESSAGE: dict,
}

# ASCII digits only: int() also takes "1_000", spaces and other alphabets' digits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_BOOLEANS = {"true": True, "false": False}
_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    int: lambda text: int(text) if _INTEGER.fullmatch(text) else text,
    bool: lambda text: _BOOLEANS.get(text, text),
}

# `name`, or `name[part]` for a field of a message.
_NAME = re.compile(r"(\w+)(?:\[(\w+)\])?")


def json_object(body: bytes) -> dict[str, Any]:
    """The object of a JSON body. An empty body is an empty object, which is for the api to judge."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError(400, _NOT_JSON) from None
    if not isinstance(value, dict):
        raise _wrong_type(None, dict, value)
    return value


def fill(message: Message, values: Mapping[str, Any]) -> None:
    """Fill a message from a JSON object. What the message already holds stays where the object says nothing; maps are united."""
    _fill(message, values, "")


def parse_text(message: Message, name: str, text: str) -> None:
    """Fill one field from a query parameter, a form field or a path variable. Empty text means unset."""
    match = _NAME.fullmatch(name)
    if match is None or not text:
        return
    outer, inner = match.groups()
    field = fields_of(message).get(outer)
    if field is None:
        return
    if inner is None:
        _assign(message, field, _from_text(field, text), outer)
    elif field.message_type is not None and not field.is_repeated and inner in fields_of(field.message_type):
        part = fields_of(field.message_type)[inner]
        _assign(getattr(message, outer), part, _from_text(part, text), f"{outer}.{inner}")


def _from_text(field: FieldDescriptor, text: str) -> Any:
    """Text as the JSON value that the field wants; as it is when it cannot be that, which is then found to be of the wrong type."""
    return _FROM_TEXT.get(_EXPECTED[field.cpp_type], str)(text)


def _fill(message: Message, values: Mapping[str, Any], prefix: str) -> None:
    for name, field in fields_of(message).items():
        value = values.get(name)
        if value is not None:
            _assign(message, field, value, prefix + name)


def _assign(message: Message, field: FieldDescriptor, value: Any, param: str) -> None:
    target, entry = getattr(message, field.name), map_value(field)
    if entry is not None:
        for key, each in _expect(param, dict, value).items():
            target[key] = _scalar(entry, each, f"{param}.{key}")
    elif field.is_repeated:
        target.extend(_scalar(field, each, f"{param}[{at}]") for at, each in enumerate(_expect(param, list, value)))
    elif field.message_type is not None:
        target.SetInParent()  # an object without keys is still there
        _fill(target, _expect(param, dict, value), f"{param}.")
    else:
        try:
            setattr(message, field.name, _scalar(field, value, param))
        except ValueError:
            text = f"Invalid value for '{param}': {value} is out of range."
            raise refusal(v1.ERROR_REASON_INVALID_VALUE, text, param=param) from None


def _scalar(field: FieldDescriptor, value: Any, param: str) -> Any:
    value = _expect(param, _EXPECTED[field.cpp_type], value)
    if field.enum_type is None:
        return value
    numbers = {word: number for number, word in enum_words(field.enum_type).items()}
    if value in numbers:
        return numbers[value]
    *most, last = (f"'{word}'" for word in numbers)
    text = f"Invalid value: '{value}'. Supported values are: {', '.join(most)} and {last}."
    raise refusal(v1.ERROR_REASON_INVALID_VALUE, text, param=param)


def _expect(param: str, expected: type, value: Any) -> Any:
    if type(value) is not expected:  # not isinstance: true is no integer
        raise _wrong_type(param, expected, value)
    return value


def _wrong_type(param: str | None, expected: type, value: Any) -> ApiError:
    where = f" for '{param}'" if param else ""
    text = f"Invalid type{where}: expected {_NOUNS[expected]}, but got {_NOUNS[type(value)]} instead."
    return refusal(v1.ERROR_REASON_INVALID_TYPE, text, param=param)
