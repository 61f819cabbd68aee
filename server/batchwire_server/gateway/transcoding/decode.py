"""Decode JSON and text into messages, by descriptor, with OpenAI's error messages.

Only values that a message cannot hold are refused here. The api checks which fields are required
and which values are allowed. Unknown keys are ignored, and null means unset.
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
from batchwire_server.gateway.transcoding.descriptors import enum_names, fields_of, map_value

_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. "
    "The API expects a JSON payload, but what was sent was not valid JSON.)"
)

# Nouns of JSON values in error messages, by Python type.
_NOUNS: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a decimal number",
    bool: "a boolean",
    list: "an array",
    dict: "an object",
    type(None): "null",
}

# Python type of a field's JSON value, by protobuf's type.
_EXPECTED: dict[int, type] = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_INT32: int,
    FieldDescriptor.CPPTYPE_INT64: int,
    FieldDescriptor.CPPTYPE_BOOL: bool,
    FieldDescriptor.CPPTYPE_ENUM: str,
    FieldDescriptor.CPPTYPE_MESSAGE: dict,
}

# ASCII digits only: int() also accepts "1_000", spaces and digits of other alphabets.
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_BOOLEANS = {"true": True, "false": False}
_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    int: lambda text: int(text) if _INTEGER.fullmatch(text) else text,
    bool: lambda text: _BOOLEANS.get(text, text),
}

# `field`, or `field[inner]` for a field of a message field.
_NAME = re.compile(r"(\w+)(?:\[(\w+)\])?")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object of a JSON body. An empty body counts as an empty object.

    Raises:
        ApiError: the body is no JSON, or no object.
    """
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
    """Fill a message from a JSON object. Absent fields keep their values; maps merge.

    Raises:
        ApiError: a value has the wrong type, is out of range, or is not a name of its enum.
    """
    _fill(message, values, "")


def parse_text(message: Message, name: str, text: str) -> None:
    """Fill a field from a query parameter, form field or path variable. Empty text means unset.

    Args:
        message: the message that has the field. Without such a field, nothing happens.
        name: `field`, or `field[inner]` for a field of a message field.
        text: the value.

    Raises:
        ApiError: the text is not a value of the field's type.
    """
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
    """Return text as a JSON value of the field's type, or unchanged if it is none.

    The unchanged text is then refused as a value of the wrong type.
    """
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
        target.SetInParent()  # an empty object also counts as set
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
    numbers = {name: number for number, name in enum_names(field.enum_type).items()}
    if value in numbers:
        return numbers[value]
    *most, last = (f"'{name}'" for name in numbers)
    text = f"Invalid value: '{value}'. Supported values are: {', '.join(most)} and {last}."
    raise refusal(v1.ERROR_REASON_INVALID_VALUE, text, param=param)


def _expect(param: str, expected: type, value: Any) -> Any:
    if type(value) is not expected:  # not isinstance: a bool is not an integer in JSON
        raise _wrong_type(param, expected, value)
    return value


def _wrong_type(param: str | None, expected: type, value: Any) -> ApiError:
    where = f" for '{param}'" if param else ""
    text = f"Invalid type{where}: expected {_NOUNS[expected]}, but got {_NOUNS[type(value)]} instead."
    return refusal(v1.ERROR_REASON_INVALID_TYPE, text, param=param)
