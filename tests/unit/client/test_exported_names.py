from __future__ import annotations

import batchwire_client


def test_the_package_exports_these_names() -> None:
    assert sorted(batchwire_client.__all__) == [
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
    assert all(hasattr(batchwire_client, name) for name in batchwire_client.__all__)
