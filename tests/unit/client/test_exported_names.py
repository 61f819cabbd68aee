import batchwire_client


def test_the_exported_names_are_these() -> None:
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
