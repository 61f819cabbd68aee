"""The parts of a form as the messages of a client-streaming method.

Such a method's request is a oneof of bytes, for the content, and of what describes it: a message whose fields are form fields, or an id
that is in the path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batchwire import v1
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from batchwire_server.gateway.errors import ApiError, refusal
from batchwire_server.gateway.transcoding.decode import parse_text
from batchwire_server.gateway.transcoding.descriptors import fields_of
from batchwire_server.gateway.web.multipart import Event, PartBegins, PartData, PartEnds

MESSAGE_BYTES = 512 * 1024
MAX_PIECES = 1024
"""So many pieces that wait are made one: each by itself takes some thirty bytes more than it has."""

MAX_FIELD_BYTES = 64 * 1024

# What OpenAI's SDKs call content without a name; a plain field that holds the content gets it too.
_NAMELESS = "upload"


class FormRelay:
    """Writes the messages of one form as its parts arrive, in whatever order they do.

    The description is written when the content begins, and again at the end when it has grown: the protocol allows for both, and some
    clients send the file before its purpose.
    """

    def __init__(
        self,
        request: Message,
        write: Callable[[Message], Awaitable[None]],
        begun: Callable[[type[Message]], Message],
    ) -> None:
        """Begin with a request that holds the path's variables; `begun` makes the description that the form's fields go into."""
        self._request = request
        self._write = write
        self._content, self._describing, self._part = anatomy(request)
        self._description = begun(type(getattr(request, self._describing))) if self._describing else None
        self._described: Message | None = None
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._field: tuple[str, bytearray] | None = None
        self._seen = False
        self.content_bytes = 0

    async def begin(self) -> None:
        """Write what the path says, if it says anything."""
        if self._request.ByteSize():
            await self._write(self._request)

    async def take(self, event: Event) -> None:
        """Take what the form's reader found. Raises ApiError when it cannot be part of this form."""
        match event:
            case PartBegins(name, filename) if name == self._part:
                await self._begin_content(filename)
            case PartBegins(name):
                self._field = (name, bytearray())
            case PartData(data) if self._field is None:
                await self._take_content(data)
            case PartData(data):
                self._take_field(data)
            case PartEnds():
                self._end_field()

    async def finish(self) -> None:
        """Write what is left. Raises ApiError when there was no content."""
        if not self._seen:
            raise missing_content(self._part)
        if self._waiting:
            await self._write_content()
        await self._describe()

    @property
    def part(self) -> str:
        """The name of the part that holds the content."""
        return self._part

    async def _begin_content(self, filename: str | None) -> None:
        if self._seen:
            text = f"Only one '{self._part}' is allowed in a form."
            raise refusal(v1.ERROR_REASON_INVALID_VALUE, text, param=self._part)
        self._seen = True
        if self._description is not None:
            parse_text(self._description, "filename", _NAMELESS if filename is None else filename)
        await self._describe()

    async def _take_content(self, data: bytes) -> None:
        self.content_bytes += len(data)
        for start in range(0, len(data), MESSAGE_BYTES):
            piece = data[start : start + MESSAGE_BYTES]
            self._pieces.append(piece)
            self._waiting += len(piece)
            if len(self._pieces) > MAX_PIECES:
                self._pieces = [b"".join(self._pieces)]
            if self._waiting >= MESSAGE_BYTES:
                await self._write_content()

    async def _write_content(self) -> None:
        """Writes the pieces that wait as one message: of twice MESSAGE_BYTES at most."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        await self._write(type(self._request)(**{self._content: content}))

    async def _describe(self) -> None:
        if self._describing is None or self._description == self._described:
            return
        message = type(self._request)(**{self._describing: self._description})
        self._described = getattr(message, self._describing)
        await self._write(message)

    def _take_field(self, data: bytes) -> None:
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


def anatomy(request: Message | Descriptor) -> tuple[str, str | None, str]:
    """A client-streaming method's request: the field of the content, the field of the description, and the form's part with the content."""
    fields = fields_of(request).values()
    content = next(each.name for each in fields if each.type == FieldDescriptor.TYPE_BYTES)
    describing = next((each.name for each in fields if each.message_type is not None), None)
    # OpenAI's name for the content where the form describes a file; elsewhere it is the protocol's own.
    return content, describing, "file" if describing else content


def missing_content(part: str) -> ApiError:
    """What a form without its content is answered with, in OpenAI's words."""
    return refusal(v1.ERROR_REASON_MISSING_REQUIRED_PARAMETER, f"'{part}' is a required property", param=part)
