"""Messages as JSON: the keys are the fields' names, the values follow from the descriptors, and a Shape says what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.gateway.transcoding.descriptors import TIMESTAMP, enum_words, fields_of, map_value

Getter: TypeAlias = Callable[[Message], Any]


@dataclass(frozen=True, slots=True)
class Reshape:
    """Makes one JSON value of another."""

    by: Callable[[Any], Any]

    schema: Mapping[str, Any]
    """What it makes, in JSON Schema."""


@dataclass(frozen=True, slots=True)
class Derive:
    """Makes a field's JSON value of the whole message."""

    by: Getter

    schema: Mapping[str, Any]
    """What it makes, in JSON Schema."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a dialect's JSON has that the descriptors do not say. Messages go by their name, fields by `Message.field`.

    Every key is always there: what is unset is null.
    """

    constants: Mapping[str, Mapping[str, Any]]
    """Keys that a message has beside its fields, such as `object`."""

    hidden: frozenset[str]
    """Fields that are left out."""

    never_null: frozenset[str]
    """Messages that, unset, are shown with all their zeros."""

    reshaped: Mapping[str, Reshape | Derive]
    """Fields whose JSON value is made into another, and methods, by their name, whose whole reply is."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Fields whose key is not their name."""

    _plans: dict[str, tuple[tuple[str, Getter], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def reply(self, method: str, message: Message) -> dict[str, Any]:
        """The JSON object of a method's reply."""
        reshape, values = self.reshaped.get(method), self.render(message)
        return dict(reshape.by(values)) if isinstance(reshape, Reshape) else values

    def render(self, message: Message) -> dict[str, Any]:
        """The JSON object of a message."""
        name = message.DESCRIPTOR.name
        plan = self._plans.get(name)
        if plan is None:  # kept, since a list has thousands of the same
            plan = self._plans[name] = self._plan(message)
        return {**self.constants.get(name, {}), **{key: get(message) for key, get in plan}}

    def _plan(self, message: Message) -> tuple[tuple[str, Getter], ...]:
        named = ((f"{message.DESCRIPTOR.name}.{name}", name, each) for name, each in fields_of(message).items())
        return tuple(
            (self.renamed.get(full, name), self._getter(full, each))
            for full, name, each in named
            if full not in self.hidden
        )

    def _getter(self, full_name: str, field_: FieldDescriptor) -> Getter:
        get = self._plain_getter(field_)
        match self.reshaped.get(full_name):
            case None:
                return get
            case Derive(by):
                return by
            case Reshape(by):
                return lambda message: by(get(message))

    def _plain_getter(self, field_: FieldDescriptor) -> Getter:
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
            return enum_words(field_.enum_type).get
        if field_.message_type is None:
            return lambda value: value
        if field_.message_type.full_name == TIMESTAMP:
            return lambda value: value.seconds
        return self.render
