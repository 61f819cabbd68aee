"""Replies that are not streamed."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response


class JsonResponse(Response):
    """A reply in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content; Starlette calls this."""
        return msgspec.json.encode(content)
