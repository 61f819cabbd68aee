"""Transcode the parts of a form into the messages of a client-streaming method.

The request of such a method is a oneof: bytes with content, or what describes the content. The
latter is a message whose fields are form fields, or an id that is a path variable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from batchwire import v1
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.decode import parse_text
from batchwire_server.gateway.transcoding.descriptors import fields_of
from batchwire_server.gateway.web.multipart import Event, PartBegins, PartData, PartEnds

MESSAGE_BYTES = 512 * 1024
"""Content is sent once this much has arrived."""

MAX_CHUNKS = 1024
"""More buffered chunks are joined into one: each costs some thirty bytes beside its content."""

MAX_FIELD_BYTES = 64 * 1024

# OpenAI's SDKs give this name to content that has none. Content in a plain field gets it too.
_DEFAULT_FILENAME = "upload"


class FormLayout(NamedTuple):
    """Where the parts of a form go in a request."""

    content: str
    """The field with the content."""

    description: str | None
    """The field with the message of the form's fields, if there is one."""

    content_part: str
    """The name of the form's part with the content."""


class FormRelay:
    """Writes the messages of one form while its parts arrive, in any order.

    The description is written when the content begins, and again at the end if it has changed: the
    protocol allows for both, and some clients send the file before its purpose.
    """

    def __init__(
        self,
        request: Message,
        write: Callable[[Message], Awaitable[None]],
        new_message: Callable[[type[Message]], Message],
    ) -> None:
        """Prepare for one form.

        Args:
            request: a request that holds the path variables.
            write: sends one message.
            new_message: returns a message of a type, filled with the dialect's defaults.
        """
        self._request = request
        self._write = write
        self._layout = layout = form_layout(request)
        self._description = new_message(type(getattr(request, layout.description))) if layout.description else None
        self._sent_description: Message | None = None
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._field: tuple[str, bytearray] | None = None
        self._has_content = False
        self.content_bytes = 0

    async def start(self) -> None:
        """Write the path variables, if there are any."""
        if self._request.ByteSize():
            await self._write(self._request)

    async def handle(self, event: Event) -> None:
        """Handle one event of the form's reader.

        Raises:
            ApiError: the form has two contents, a field that is too long, or a field that cannot be
                decoded.
        """
        match event:
            case PartBegins(name, filename) if name == self._layout.content_part:
                await self._begin_content(filename)
            case PartBegins(name):
                self._field = (name, bytearray())
            case PartData(data) if self._field is None:
                await self._add_content(data)
            case PartData(data):
                self._add_to_field(data)
            case PartEnds():
                self._end_field()

    async def finish(self) -> None:
        """Write what is left. Raises ApiError if the form had no content."""
        if not self._has_content:
            raise self.missing_content()
        if self._buffered_bytes:
            await self._write_content()
        await self._write_description()

    def missing_content(self) -> ApiError:
        """Return the error for a form without content, with OpenAI's message."""
        part = self._layout.content_part
        text = f"'{part}' is a required property"
        return refusal(v1.ERROR_REASON_MISSING_REQUIRED_PARAMETER, text, param=part)

    async def _begin_content(self, filename: str | None) -> None:
        part = self._layout.content_part
        if self._has_content:
            raise refusal(v1.ERROR_REASON_INVALID_VALUE, f"Only one '{part}' is allowed in a form.", param=part)
        self._has_content = True
        if self._description is not None:
            parse_text(self._description, "filename", _DEFAULT_FILENAME if filename is None else filename)
        await self._write_description()

    async def _add_content(self, data: bytes) -> None:
        self.content_bytes += len(data)
        for start in range(0, len(data), MESSAGE_BYTES):
            chunk = data[start : start + MESSAGE_BYTES]
            self._chunks.append(chunk)
            self._buffered_bytes += len(chunk)
            if len(self._chunks) > MAX_CHUNKS:
                self._chunks = [b"".join(self._chunks)]
            if self._buffered_bytes >= MESSAGE_BYTES:
                await self._write_content()

    async def _write_content(self) -> None:
        """Write the buffered chunks as one message, of less than twice MESSAGE_BYTES."""
        content = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered_bytes = 0
        await self._write(type(self._request)(**{self._layout.content: content}))

    async def _write_description(self) -> None:
        field = self._layout.description
        if field is None or self._description == self._sent_description:
            return
        message = type(self._request)(**{field: self._description})
        self._sent_description = getattr(message, field)
        await self._write(message)

    def _add_to_field(self, data: bytes) -> None:
        assert self._field is not None
        name, value = self._field
        value += data
        if len(value) > MAX_FIELD_BYTES:
            raise ApiError(400, f"The form field '{name}' is longer than {MAX_FIELD_BYTES} bytes.", param=name)

    def _end_field(self) -> None:
        if self._field is not None and self._description is not None:
            name, value = self._field
            parse_text(self._description, name, value.decode(errors="replace"))
        self._field = None


def form_layout(request: Message | Descriptor) -> FormLayout:
    """Return the layout of a client-streaming method's request."""
    fields = fields_of(request).values()
    content = next(each.name for each in fields if each.type == FieldDescriptor.TYPE_BYTES)
    description = next((each.name for each in fields if each.message_type is not None), None)
    # A form that describes a file has OpenAI's name for the content, any other form the protocol's.
    return FormLayout(content, description, "file" if description else content)
