"""Checks the text of requests: PostgreSQL can neither store nor compare a NUL character."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.core.errors import invalid_value

M = TypeVar("M", bound=Message)

_CLEANED = {"filename"}
"""Fields that `clean_filename` strips of control characters."""


def checked(request: M) -> M:
    """Return a request unchanged. Raises BatchwireError if a string of it has a NUL character."""
    for name, text in _texts(request, ""):
        if "\0" in text:
            raise invalid_value(name, f"Invalid '{name}': it has a NUL character.")
    return request


async def checked_stream(requests: AsyncIterator[M]) -> AsyncIterator[M]:
    """Yield requests unchanged. Raises BatchwireError if a string of one has a NUL character."""
    async for request in requests:
        yield checked(request)


def _texts(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each string of a message, keys of maps included, after the path of its field."""
    for field in _text_fields(message.DESCRIPTOR):
        if field.has_presence and not message.HasField(field.name):
            continue
        yield from _texts_of(prefix + field.name, getattr(message, field.name))


@cache
def _text_fields(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Return the fields of strings and messages.

    Bytes are left out, since reading them copies them.
    """
    kinds = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE}
    return tuple(field for field in descriptor.fields if field.type in kinds and field.name not in _CLEANED)


def _texts_of(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Message):
        yield from _texts(value, f"{name}.")
    elif isinstance(value, Mapping):
        for each in (*value, *value.values()):
            yield from _texts_of(name, each)
    else:
        for each in value:
            yield from _texts_of(name, each)
