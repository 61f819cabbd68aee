"""Completion windows: an integer and a unit, such as `24h`."""

from __future__ import annotations

import re

from batchwire_server.core.errors import invalid_value, missing_parameter, shorten

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_GRAMMAR = re.compile(r"([1-9][0-9]{0,8})([smhd])")
MAX_SECONDS = 336 * 3600


def parse_window(text: str) -> int:
    """Return the seconds of a completion window.

    Raises BatchwireError for anything but `<int>(s|m|h|d)` up to 336h.
    """
    if not text:
        raise missing_parameter("completion_window")
    match = _GRAMMAR.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= MAX_SECONDS:
        raise invalid_value(
            "completion_window",
            f"Invalid value: '{shorten(text)}'. Supported values are: '24h', or any whole number with s, m, h or d up to '336h'.",
        )
    return seconds
