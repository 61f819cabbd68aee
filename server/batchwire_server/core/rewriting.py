"""Rewrites request bodies as their batch demands. Other fields keep their bytes."""

from __future__ import annotations

import msgspec

from batchwire_server.core.records import LineRules

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode

STREAMING = ("stream", "stream_options")


def rewrite_body(body: bytes, replace_model: str | None, rules: LineRules) -> bytes:
    """Return a body with its model replaced, and without the fields of streaming, if demanded.

    The body is an object that has passed validation.
    """
    if not replace_model and not rules.drop_stream:
        return body
    fields = _fields.decode(body)
    if rules.drop_stream:
        for name in STREAMING:
            fields.pop(name, None)
    if replace_model:
        fields["model"] = msgspec.Raw(_encode(replace_model))
    return _encode(fields)
