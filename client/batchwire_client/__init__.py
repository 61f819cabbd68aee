"""The Batchwire client for Python: `Client` blocks, `AsyncClient` is for asyncio.

This package and its module `errors` are the public API. Modules with an underscore are not.
"""

from __future__ import annotations

from batchwire_client._async.client import AsyncClient
from batchwire_client._retries import Backoff, RetryPolicy
from batchwire_client._statuses import status_word
from batchwire_client._sync.client import Client
from batchwire_client.errors import (
    BatchwireError,
    Conflict,
    CorruptDownload,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    RequestError,
    ServerError,
    ServerUnavailable,
    Unauthenticated,
)

__all__ = [
    "AsyncClient",
    "Backoff",
    "BatchwireError",
    "Client",
    "Conflict",
    "CorruptDownload",
    "DeadlineExceeded",
    "InvalidRequest",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "RequestError",
    "RetryPolicy",
    "ServerError",
    "ServerUnavailable",
    "Unauthenticated",
    "status_word",
]
