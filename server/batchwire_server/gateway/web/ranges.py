"""Which part of a content a download asks for (RFC 9110, sections 13 and 14): decided from headers alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers

# One range. Several at once, other units and nonsense are ignored, as the RFC allows: the whole content is the answer.
_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})-([0-9]{0,20})\s*", re.IGNORECASE)


class RangeNotSatisfiableError(Exception):
    """The range starts beyond the end of the content."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a download answers with."""

    status: int
    start: int
    length: int


def is_conditional(headers: Headers) -> bool:
    """Whether the answer depends on what the content is."""
    return "range" in headers or "if-none-match" in headers


def whole(size: int) -> Selection:
    """All of a content of `size` bytes."""
    return Selection(200, 0, size)


def select(headers: Headers, size: int, etag: str, *, ranged: bool = True) -> Selection:
    """What of a content of `size` bytes to send. Range counts only where `ranged`: HEAD has none.

    Raises:
        RangeNotSatisfiableError: the range starts beyond the end.
    """
    if _names(headers.get("if-none-match", ""), etag):
        return Selection(304, 0, 0)
    asked = _RANGE.fullmatch(headers.get("range", "")) if ranged else None
    if asked is None or headers.get("if-range", etag) != etag:
        return whole(size)
    first, last = (int(digits) if digits else None for digits in asked.groups())
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
    """The Content-Disposition of a download (RFC 6266): a quoted name that any client reads, and the true one where they differ."""
    plain = re.sub(r"[^ -~]", "_", filename)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    true = f"; filename*=UTF-8''{quote(filename, safe='')}" if plain != filename else ""
    return f'attachment; filename="{quoted}"{true}'


def _names(if_none_match: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags
