"""Which path a file's lines call, by its first line."""

import json
from collections.abc import Iterable

from batchwire_client._bytes import lines_of

DEFAULT_ENDPOINT = "/v1/chat/completions"
LOOK_AT_BYTES = 1024 * 1024


def endpoint_of(pieces: Iterable[bytes]) -> str:
    """The `url` of the first line that is not blank; the default when it names none."""
    first = next(lines_of(pieces), b"")
    try:
        request = json.loads(first)
    except ValueError:  # the server says what is wrong with it, with its line number
        return DEFAULT_ENDPOINT
    url = request.get("url") if isinstance(request, dict) else None
    return url if isinstance(url, str) and url else DEFAULT_ENDPOINT
