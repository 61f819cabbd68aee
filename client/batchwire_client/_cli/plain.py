"""Messages as plain values: integer Unix timestamps, status words without prefix, null for what is unset."""

import json
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from batchwire_client._statuses import word


def plain(message: Message) -> dict[str, Any]:
    """A message as a dictionary, with all its fields under the protocol's names."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def json_line(message: Message) -> str:
    """A message as one line of JSON."""
    return json.dumps(plain(message), ensure_ascii=False)


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(value)
    if field.is_repeated:
        return [_value(field, item) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.seconds
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        return word(field.enum_type, value)
    return value
