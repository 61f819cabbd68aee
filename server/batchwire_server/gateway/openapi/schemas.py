"""JSON Schema for what a dialect reads and writes, from the protocol's descriptors and the dialect's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from batchwire_server.gateway.dialects import Dialect
from batchwire_server.gateway.transcoding.descriptors import TIMESTAMP, enum_words, fields_of, map_value

Schema: TypeAlias = dict[str, Any]

_NULL = {"type": "null"}
_TYPES: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
}
# Fields that are required unless another one is given; the protocol has no annotation for that. The
# server takes these from the batch that `retry_of` names.
_REQUIRED_UNLESS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CreateBatchRequest": ("retry_of", ("input_file_id", "endpoint", "completion_window")),
}
_SECONDS = {"type": "integer", "description": "Seconds since 1970-01-01T00:00:00Z."}


class Schemas:
    """The schemas of one dialect. Those of replies and of errors are named and shared."""

    def __init__(self, dialect: Dialect, named: dict[str, Schema]) -> None:
        """Begin with a place for the named ones, which all dialects share."""
        self._dialect = dialect
        self._named = named
        self.error = self._name("Error", dict(dialect.error_schema))

    def reply(self, method: str, message: Descriptor) -> Schema:
        """What a method answers with."""
        reshape = self._dialect.shape.reshaped.get(method)
        return self._message(message) if reshape is None else self._name(method, dict(reshape.schema))

    def body(self, message: Descriptor, path: Iterable[str]) -> Schema:
        """What a method takes as JSON; `path` names the fields that are in the path."""
        fields = {name: each for name, each in fields_of(message).items() if name not in path}
        defaults = self._dialect.reading.defaults.get(message.name, {})
        required = [name for name, each in fields.items() if is_required(each) and name not in defaults]
        instead, others = _REQUIRED_UNLESS.get(message.name, ("", ()))
        unless = [name for name in others if name not in defaults]
        loose = message.name in self._dialect.reading.loose
        properties = {name: self.given(each, loose=loose) for name, each in fields.items()}
        for name, value in defaults.items():
            properties[name] = {**properties[name], "default": value}
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            **({"anyOf": [{"required": unless}, {"required": [instead]}]} if unless else {}),
        }

    def given(self, field: FieldDescriptor, *, loose: bool = False) -> Schema:
        """What a caller gives for a field; `loose` says that a map's values may be anything."""
        if map_value(field) is not None:
            return {"type": "object"} if loose else {"type": "object", "additionalProperties": {"type": "string"}}
        if field.enum_type is not None:
            return {"enum": list(enum_words(field.enum_type).values())}
        value = _TYPES[field.cpp_type] if field.message_type is None else self.body(field.message_type, ())
        return {"type": "array", "items": value} if field.is_repeated else value

    def _message(self, message: Descriptor) -> Schema:
        shape = self._dialect.shape
        properties: Schema = {name: {"const": value} for name, value in shape.constants.get(message.name, {}).items()}
        for name, each in fields_of(message).items():
            full = f"{message.name}.{name}"
            if full not in shape.hidden:
                properties[shape.renamed.get(full, name)] = self._field(full, each)
        return self._name(message.name, closed(properties))

    def _field(self, full: str, field: FieldDescriptor) -> Schema:
        reshape = self._dialect.shape.reshaped.get(full)
        if reshape is not None:
            return dict(reshape.schema)
        if map_value(field) is not None:
            return {"type": "object", "additionalProperties": {"type": "string"}}
        if field.enum_type is not None:
            return {"enum": [*enum_words(field.enum_type).values(), None]}
        value = self._value(field)
        if field.is_repeated:
            return {"type": "array", "items": value}
        never = field.message_type is not None and field.message_type.name in self._dialect.shape.never_null
        return {"anyOf": [value, _NULL]} if field.has_presence and not never else value

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.message_type is None:
            return _TYPES[field.cpp_type]
        return _SECONDS if field.message_type.full_name == TIMESTAMP else self._message(field.message_type)

    def _name(self, name: str, schema: Schema) -> Schema:
        full = f"{self._dialect.name}.{name}"
        self._named[full] = schema
        return {"$ref": f"#/components/schemas/{full}"}


def closed(properties: Mapping[str, Any]) -> Schema:
    """An object with just these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def is_required(field: FieldDescriptor) -> bool:
    """Whether the protocol requires a field of its caller."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
