"""Encode messages as JSON.

Keys are the names of the fields, values follow from the descriptors, and a `ResponseMapping` says
what a dialect does differently. Every key is always present: an unset field is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.descriptors import TIMESTAMP, enum_names, fields_of, map_value

Getter: TypeAlias = Callable[[Message], Any]


@dataclass(frozen=True, slots=True)
class Converted:
    """A JSON value that a function makes of the default JSON value."""

    convert: Callable[[Any], Any]

    schema: Mapping[str, Any]
    """JSON Schema of the result."""


@dataclass(frozen=True, slots=True)
class Computed:
    """A JSON value of a field that a function makes of the whole message."""

    compute: Getter

    schema: Mapping[str, Any]
    """JSON Schema of the result."""


@dataclass(frozen=True, slots=True)
class ResponseMapping:
    """The differences between a dialect's JSON and the protocol's messages.

    Messages are named `Message`, fields `Message.field`, methods `Method`.
    """

    constants: Mapping[str, Mapping[str, Any]]
    """Keys with fixed values, such as `object`, beside the fields of a message."""

    hidden: frozenset[str]
    """Fields that are left out."""

    never_null: frozenset[str]
    """Messages that are written with all their zeros when they are unset."""

    overrides: Mapping[str, Converted | Computed]
    """Fields whose JSON value is not the default."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Fields whose key is not their name."""

    reply_overrides: Mapping[str, Converted] = field(default_factory=dict)
    """Methods whose reply is not the default JSON of their message."""

    _plans: dict[str, tuple[tuple[str, Getter], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def reply(self, method: str, message: Message) -> dict[str, Any]:
        """Return the JSON object of a method's reply."""
        override, values = self.reply_overrides.get(method), self.render(message)
        return values if override is None else dict(override.convert(values))

    def render(self, message: Message) -> dict[str, Any]:
        """Return the JSON object of a message."""
        name = message.DESCRIPTOR.name
        plan = self._plans.get(name)
        if plan is None:  # cached, because a list has thousands of messages of one type
            plan = self._plans[name] = self._plan(message)
        return {**self.constants.get(name, {}), **{key: get(message) for key, get in plan}}

    def _plan(self, message: Message) -> tuple[tuple[str, Getter], ...]:
        named = ((f"{message.DESCRIPTOR.name}.{name}", name, each) for name, each in fields_of(message).items())
        return tuple(
            (self.renamed.get(full_name, name), self._getter(full_name, each))
            for full_name, name, each in named
            if full_name not in self.hidden
        )

    def _getter(self, full_name: str, field_: FieldDescriptor) -> Getter:
        get = self._default_getter(field_)
        match self.overrides.get(full_name):
            case None:
                return get
            case Computed(compute):
                return compute
            case Converted(convert):
                return lambda message: convert(get(message))

    def _default_getter(self, field_: FieldDescriptor) -> Getter:
        name = field_.name
        if map_value(field_) is not None:
            return lambda message: dict(getattr(message, name))
        convert = self._converter(field_)
        if field_.is_repeated:
            return lambda message: [convert(each) for each in getattr(message, name)]
        nullable = field_.has_presence and not (field_.message_type and field_.message_type.name in self.never_null)
        if nullable:
            return lambda message: convert(getattr(message, name)) if message.HasField(name) else None
        return lambda message: convert(getattr(message, name))

    def _converter(self, field_: FieldDescriptor) -> Callable[[Any], Any]:
        if field_.enum_type is not None:
            return enum_names(field_.enum_type).get
        if field_.message_type is None:
            return lambda value: value
        if field_.message_type.full_name == TIMESTAMP:
            return lambda value: value.seconds
        return self.render
