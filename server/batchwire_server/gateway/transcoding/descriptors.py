"""What the JSON side asks of protobuf's descriptors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

TIMESTAMP = "google.protobuf.Timestamp"


def fields_of(message: Message | Descriptor) -> Mapping[str, FieldDescriptor]:
    """The fields of a message, or of its type, by name."""
    descriptor = message.DESCRIPTOR if isinstance(message, Message) else message
    return cast("Mapping[str, FieldDescriptor]", descriptor.fields_by_name)


@cache
def enum_words(enum: EnumDescriptor) -> Mapping[int, str]:
    """The words of an enum by number: lower case, without the enum's prefix, and without the value that means unset."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """The value of a map field's entries, which is how protobuf keeps a map; None for any other field."""
    entry = field.message_type
    return fields_of(entry)["value"] if entry is not None and entry.GetOptions().map_entry else None
