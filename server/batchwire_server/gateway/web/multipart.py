"""Parse multipart forms as a stream of events, without storing parts.

If no header has the boundary, it is taken from the body's first line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_PARTS = 64

# RFC 2046 allows 70 characters for the boundary. The rest is for dashes, the line end, and the
# blank lines that some senders begin with.
_MAX_FIRST_LINE_BYTES = 128

# RFC 7578 forbids this spelling in forms, but some senders use it.
_EXTENDED_FILENAME = re.compile(r"filename\*\s*=\s*\"?([\w-]+)'[^']*'([^;\"\s]+)", re.IGNORECASE)


class MalformedFormError(Exception):
    """The body is not a well-formed multipart form. The message tells the caller why."""


class NotAFormError(MalformedFormError):
    """The body is not a multipart form at all."""


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part begins: its headers are complete. `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the current part."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnds:
    """The current part is complete."""


Event: TypeAlias = PartBegins | PartData | PartEnds


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a content-type, or None.

    The media type is ignored, because some senders use `application/json; boundary=…`.
    """
    return parse_options_header(content_type)[1].get(b"boundary") or None


class MultipartReader:
    """Parser of one form, which takes the body in chunks of any size.

    `complete` is True once the last boundary was read, `empty` as long as there were no bytes.
    """

    def __init__(self, boundary: bytes | None) -> None:
        self.complete = False
        self.empty = True
        self._events: list[Event] = []
        self._parts = 0
        self._header = (bytearray(), bytearray())
        self._disposition = b""
        self._head = bytearray()
        self._parser = self._parser_for(boundary) if boundary else None

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events of the next chunk.

        Raises:
            NotAFormError: the body does not begin like a form.
            MalformedFormError: the form is malformed.
        """
        self.empty = self.empty and not chunk
        if self._parser is None:
            self._head += chunk
            boundary = _sniff_boundary(self._head)
            if boundary is None:
                return []
            self._parser = self._parser_for(boundary)
            chunk = bytes(self._head)
        self._events = []
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise MalformedFormError("The multipart form is malformed.") from None
        return self._events

    def _parser_for(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": lambda data, start, end: self._events.append(PartData(data[start:end])),
                    "on_part_end": lambda: self._events.append(PartEnds()),
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise MalformedFormError("The boundary of the multipart form is too long.") from None

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedFormError(f"The multipart form has more than {MAX_PARTS} parts.")
        self._disposition = b""

    def _on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        text = self._disposition.decode("latin-1")
        options = parse_options_header(text)[1]
        filename = _extended_filename(text)
        if filename is None and b"filename" in options:
            filename = options[b"filename"].decode(errors="replace")
        self._events.append(PartBegins(options.get(b"name", b"").decode(errors="replace"), filename))

    def _on_end(self) -> None:
        self.complete = True


def _sniff_boundary(head: bytearray) -> bytes | None:
    """Return the boundary in a body's first line, or None while the line is incomplete."""
    line, end, _ = bytes(head).lstrip(b"\r\n").partition(b"\r\n")
    if not b"--".startswith(line[:2]) or len(line) > _MAX_FIRST_LINE_BYTES or (end and len(line) <= 2):
        raise NotAFormError("The body is not a multipart form.")
    return line[2:].rstrip(b" \t") if end else None


def _extended_filename(disposition: str) -> str | None:
    match = _EXTENDED_FILENAME.search(disposition)
    if match is None:
        return None
    charset, value = match.groups()
    try:
        return unquote_to_bytes(value).decode(charset)
    except (LookupError, UnicodeDecodeError):  # unknown charset, or bytes that it lacks: use the plain name
        return None
