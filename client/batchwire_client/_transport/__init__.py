"""Calls over gRPC: channel, retries, streams that resume, uploads, errors.

What differs between asyncio and threads stands in `async_*` and `sync_*`, under the same names.
"""

from __future__ import annotations
