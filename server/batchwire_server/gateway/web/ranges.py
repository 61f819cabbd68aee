"""Select the part of the content that a download asks for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers

# One range. Several ranges, other units and malformed headers are ignored, as the RFC allows: the
# reply is the whole content.
_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})-([0-9]{0,20})\s*", re.IGNORECASE)


class RangeNotSatisfiableError(Exception):
    """The range starts beyond the end of the content."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The HTTP status of a download, and the part of the content that it sends, in bytes."""

    status: int
    start: int
    length: int


def is_conditional(headers: Headers) -> bool:
    """Return True if the reply depends on the content's size or ETag."""
    return "range" in headers or "if-none-match" in headers


def whole(size: int) -> Selection:
    """Return the selection of all `size` bytes."""
    return Selection(200, 0, size)


def select(headers: Headers, size: int, etag: str, *, ranged: bool = True) -> Selection:
    """Return the part of the content that the headers select.

    Args:
        headers: headers of the request.
        size: size of the content, in bytes.
        etag: the content's ETag, with quotes.
        ranged: whether the header Range counts, which it does not for HEAD.

    Raises:
        RangeNotSatisfiableError: the range starts beyond the end.
    """
    if _has_tag(headers.get("if-none-match", ""), etag):
        return Selection(304, 0, 0)
    requested = _RANGE.fullmatch(headers.get("range", "")) if ranged else None
    if requested is None or headers.get("if-range", etag) != etag:
        return whole(size)
    first, last = (int(digits) if digits else None for digits in requested.groups())
    match first, last:
        case None, None:
            return whole(size)
        case None, int(suffix):
            start, end = max(0, size - suffix), size - 1
        case int(start), None:
            end = size - 1
        case int(start), int(end) if end < start:
            return whole(size)
        case int(start), int(end):
            end = min(end, size - 1)
    if start >= size:
        raise RangeNotSatisfiableError
    return Selection(206, start, end - start + 1)


def attachment(filename: str) -> str:
    """Return the Content-Disposition of a download (RFC 6266).

    It has a quoted ASCII name that all clients read, and the exact name if that differs.
    """
    plain = re.sub(r"[^ -~]", "_", filename)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    exact = f"; filename*=UTF-8''{quote(filename, safe='')}" if plain != filename else ""
    return f'attachment; filename="{quoted}"{exact}'


def _has_tag(if_none_match: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags
