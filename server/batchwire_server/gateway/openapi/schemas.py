"""JSON Schema of a dialect's requests and replies, from the descriptors and the dialect's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from batchwire_server.gateway.dialects import Dialect
from batchwire_server.gateway.dialects.shared import closed_object
from batchwire_server.gateway.transcoding.descriptors import TIMESTAMP, enum_names, fields_of, map_value

Schema: TypeAlias = dict[str, Any]

_NULL = {"type": "null"}
_TYPES: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
}
# The protocol cannot annotate a field as required under a condition. For each message: the field
# that lifts the requirement, and the fields that are required without it. A retry takes them from
# the batch that it retries.
_REQUIRED_UNLESS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CreateBatchRequest": ("retry_of", ("input_file_id", "endpoint", "completion_window")),
}
_UNIX_TIME = {"type": "integer", "description": "Seconds since 1970-01-01T00:00:00Z."}


class Schemas:
    """The schemas of one dialect. Schemas of replies and of errors are named components."""

    def __init__(self, dialect: Dialect, components: dict[str, Schema]) -> None:
        """Store the dialect, and the document's components, to which named schemas are added."""
        self._dialect = dialect
        self._components = components
        self.error = self._add("Error", dict(dialect.error_schema))

    def reply(self, method: str, message: Descriptor) -> Schema:
        """Return the schema of a method's reply."""
        override = self._dialect.response_mapping.reply_overrides.get(method)
        return self._message(message) if override is None else self._add(method, dict(override.schema))

    def body(self, message: Descriptor, path: Iterable[str]) -> Schema:
        """Return the schema of a JSON body. `path` has the fields that are path variables."""
        fields = {name: each for name, each in fields_of(message).items() if name not in path}
        defaults = self._dialect.request_mapping.defaults.get(message.name, {})
        required = [name for name, each in fields.items() if is_required(each) and name not in defaults]
        instead, others = _REQUIRED_UNLESS.get(message.name, ("", ()))
        unless = [name for name in others if name not in defaults]
        untyped = message.name in self._dialect.request_mapping.untyped_maps
        properties = {name: self.request_field(each, untyped_maps=untyped) for name, each in fields.items()}
        for name, value in defaults.items():
            properties[name] = {**properties[name], "default": value}
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            **({"anyOf": [{"required": unless}, {"required": [instead]}]} if unless else {}),
        }

    def request_field(self, field: FieldDescriptor, *, untyped_maps: bool = False) -> Schema:
        """Return the schema of a field in a request. Untyped maps have values of any type."""
        if map_value(field) is not None:
            return (
                {"type": "object"} if untyped_maps else {"type": "object", "additionalProperties": {"type": "string"}}
            )
        if field.enum_type is not None:
            return {"enum": list(enum_names(field.enum_type).values())}
        value = _TYPES[field.cpp_type] if field.message_type is None else self.body(field.message_type, ())
        return {"type": "array", "items": value} if field.is_repeated else value

    def _message(self, message: Descriptor) -> Schema:
        mapping = self._dialect.response_mapping
        constants = mapping.constants.get(message.name, {})
        properties: Schema = {name: {"const": value} for name, value in constants.items()}
        for name, each in fields_of(message).items():
            full_name = f"{message.name}.{name}"
            if full_name not in mapping.hidden:
                properties[mapping.renamed.get(full_name, name)] = self._reply_field(full_name, each)
        return self._add(message.name, closed_object(**properties))

    def _reply_field(self, full_name: str, field: FieldDescriptor) -> Schema:
        mapping = self._dialect.response_mapping
        if full_name in mapping.overrides:
            return dict(mapping.overrides[full_name].schema)
        if map_value(field) is not None:
            return {"type": "object", "additionalProperties": {"type": "string"}}
        if field.enum_type is not None:
            return {"enum": [*enum_names(field.enum_type).values(), None]}
        value = self._value(field)
        if field.is_repeated:
            return {"type": "array", "items": value}
        never_null = field.message_type is not None and field.message_type.name in mapping.never_null
        return {"anyOf": [value, _NULL]} if field.has_presence and not never_null else value

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.message_type is None:
            return _TYPES[field.cpp_type]
        return _UNIX_TIME if field.message_type.full_name == TIMESTAMP else self._message(field.message_type)

    def _add(self, name: str, schema: Schema) -> Schema:
        """Add a component, and return a reference to it."""
        full_name = f"{self._dialect.name}.{name}"
        self._components[full_name] = schema
        return {"$ref": f"#/components/schemas/{full_name}"}


def is_required(field: FieldDescriptor) -> bool:
    """Return True if the protocol annotates a field as required."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
