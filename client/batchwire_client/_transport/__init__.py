"""Calls over gRPC: channel, retries, streams that resume, uploads, errors.

The code for asyncio is in `async_*` and the code for threads in `sync_*`, under the same names.
"""

from __future__ import annotations
