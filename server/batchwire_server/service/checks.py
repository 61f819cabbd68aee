"""Checks of request fields that several use cases share. Each raises BatchwireError."""

from __future__ import annotations

from batchwire_server.core.errors import BatchwireError, above_max_length, invalid_value, shorten
from batchwire_server.core.limits import UPLOAD_PURPOSES

MAX_FILENAME = 255
PAGE_LIMIT = 100
PAGE_DEFAULT = 20
"""Largest page of a list call, and the page of a call that names no size. Lists of files differ."""

LIFETIMES_S = (3600, 2_592_000)
"""The shortest and the longest time that a caller may have a file kept."""


def clean_filename(name: str) -> str:
    """Return a file name without folders and control characters, cut to 255 characters."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in base if letter.isprintable())[:MAX_FILENAME]


def check_length(param: str, text: str, longest: int) -> None:
    """Raise BatchwireError if a text has more than `longest` characters."""
    if len(text) > longest:
        message = f"Invalid '{param}': string too long. Expected a string with maximum length {longest}."
        raise above_max_length(param, message)


def check_purpose(purpose: str) -> None:
    """Raise BatchwireError if no upload may have this purpose. An empty one passes."""
    if purpose and purpose not in UPLOAD_PURPOSES:
        raise invalid_value("purpose", f"'{shorten(purpose)}' is not one of {list(UPLOAD_PURPOSES)} - 'purpose'")


def check_lifetime(param: str, anchor: str, seconds: int) -> int:
    """Return the seconds of an expiry policy. Raises BatchwireError if it is not allowed."""
    if anchor not in {"", "created_at"}:
        message = f"Invalid value: '{shorten(anchor)}'. Supported values are: 'created_at'."
        raise invalid_value(f"{param}.anchor", message)
    shortest, longest = LIFETIMES_S
    if not shortest <= seconds <= longest:
        message = f"Invalid value: {seconds}. Expected seconds from {shortest} to {longest}."
        raise invalid_value(f"{param}.seconds", message)
    return seconds


def check_limit(limit: int | None, largest: int, default: int) -> int:
    """Return the size of the page that a list call asks for.

    Raises BatchwireError outside 1 to `largest`. None means `default`.
    """
    if limit is None:
        return default
    if not 1 <= limit <= largest:
        message = f"Invalid 'limit': expected an integer from 1 to {largest}, but got {limit} instead."
        raise invalid_value("limit", message)
    return limit


def unknown_after(after: str) -> BatchwireError:
    """Return the error of a list call whose `after` is the id of no object."""
    return invalid_value("after", f"Invalid 'after': there is no object with id '{shorten(after)}'.")
