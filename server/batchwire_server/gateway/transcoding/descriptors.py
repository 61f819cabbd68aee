"""Answer the questions that JSON transcoding has for protobuf's descriptors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

TIMESTAMP = "google.protobuf.Timestamp"


def fields_of(message: Message | Descriptor) -> Mapping[str, FieldDescriptor]:
    """Return the fields of a message, or of a message type, by name."""
    descriptor = message.DESCRIPTOR if isinstance(message, Message) else message
    return cast("Mapping[str, FieldDescriptor]", descriptor.fields_by_name)


@cache
def enum_names(enum: EnumDescriptor) -> Mapping[int, str]:
    """Return the JSON names of an enum's values by number.

    They are in lower case, without the enum's prefix. The value 0, which means unset, has none.
    """
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values if value.number}


def map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the value field of a map's entries, or None if the field is no map."""
    entry = field.message_type
    return fields_of(entry)["value"] if entry is not None and entry.GetOptions().map_entry else None
