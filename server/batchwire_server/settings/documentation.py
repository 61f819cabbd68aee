"""Settings for people: their documentation, their effective values, and typing errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import BaseModel

from batchwire_server.settings.schema import PREFIX, Section, Settings, UpstreamSettings

_CLIENT_VARIABLES = {f"{PREFIX}TARGET", f"{PREFIX}API_KEY"}
"""Environment variables of the client, which has the same prefix."""

_MIN_SIMILARITY = 0.92
"""Similarity, at most 1, from which an unknown variable counts as a typing error for a setting."""


def _shown(value: object) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, tuple) else _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Return a URL with user and option values masked, since either may be a secret.

    Other text is returned unchanged.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    if not scheme.startswith("sqlite"):  # a path, which may contain @
        rest = re.sub(r".*@", "***@", rest, flags=re.DOTALL)
    place, mark, options = rest.partition("?")
    return scheme + separator + place + mark + re.sub(r"=[^&]*", "=***", options)


def documentation(model: type[BaseModel] = Settings, prefix: str = "") -> list[tuple[str, str, str]]:
    """Return name, default and description of every setting; a table's are named `table.name`."""
    rows: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        default = field.get_default()
        if isinstance(default, Section):
            rows += documentation(type(default), f"{prefix}{name}.")
            continue
        shown = "" if field.is_required() or default in ("", ()) else _shown(default)
        rows.append((f"{prefix}{name}", shown, field.description or ""))
        if name == "upstreams":
            rows += documentation(UpstreamSettings, "upstreams[].")
    return rows


def effective(settings: BaseModel, prefix: str = "") -> dict[str, str]:
    """Return the effective value of every setting by its name, with secrets masked.

    `upstreams` is their number; `upstreams[].name` holds the names of all, separated by ` | `.
    """
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Section):
            values |= effective(value, f"{prefix}{name}.")
        elif name == "upstreams":
            each = [effective(upstream, "upstreams[].") for upstream in value]
            values[name] = str(len(each))
            values |= {key: " | ".join(upstream[key] for upstream in each) for key in (each[0] if each else ())}
        else:
            values[prefix + name] = _shown(value)
    return values


def unknown_variables(environment: Iterable[str]) -> dict[str, str]:
    """Return variables that look like typing errors, each with the setting that it resembles.

    Other variables with the prefix are left alone: an orchestrator may set some, and one may hold
    the key of an upstream.
    """
    names = [name for name, _, _ in documentation() if not name.startswith("upstreams[]")]
    sections = {name.partition(".")[0] for name in names}
    known = [f"{PREFIX}{name.replace('.', '__').upper()}" for name in (*names, *sections, "config")]
    unknown = {name for name in environment if name.upper().startswith(PREFIX)} - {*known, *_CLIENT_VARIABLES}
    near = {name: get_close_matches(name.upper(), known, 1, _MIN_SIMILARITY) for name in sorted(unknown)}
    return {name: found[0] for name, found in near.items() if found and found[0] != name.upper()}
