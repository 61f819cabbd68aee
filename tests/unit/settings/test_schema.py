"""The schema of the settings: which values are refused, and what is derived from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batchwire_server.settings import Settings
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"database": "mysql://x/y"}, "must start with sqlite:/// or postgresql://"),
        ({"blobs": "ftp://bucket"}, "s3://BUCKET/PREFIX"),
        ({"blobs": "s3://"}, "s3://BUCKET/PREFIX"),
        ({"blobs": "s3:///prefix"}, "s3://BUCKET/PREFIX"),
        ({"upstream": "gpu-1:8000"}, "starts with http://"),
        ({"upstreams": [{"base_url": "gpu-1"}]}, "starts with http://"),
        ({"upstreams": [{"base_url": "http://x", "api_key_env": "NO_SUCH_KEY"}]}, "NO_SUCH_KEY is not set"),
        ({"upstreams": [{"base_url": "http://x", "proxy": "proxy:3128"}]}, "starts with http://, https://, socks5://"),
        ({"upstreams": [{"base_url": "http://x", "proxy": "http://"}]}, "starts with http://, https://, socks5://"),
        ({"trusted_header": "x-tenant"}, "must be set together"),
        ({"trusted_peers": "10.0.0.0/8"}, "must be set together"),
        ({"trusted_header": "authorization", "trusted_peers": "10.0.0.0/8"}, "has another meaning"),
        ({"trusted_header": "grpc-x", "trusted_peers": "10.0.0.0/8"}, "has another meaning"),
        ({"trusted_header": "x tenant", "trusted_peers": "10.0.0.0/8"}, "not a valid header name"),
        ({"work": {"lease_ttl": 9, "heartbeat": 5}}, "at least twice the heartbeat"),
    ],
)
def test_values_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(**settings)


def test_lists_may_be_separated_by_commas() -> None:
    settings = Settings(upstream="echo, http://gpu-1", trusted_header="X-Tenant", trusted_peers="10.0.0.5,fd00::/8")
    assert settings.upstream == ("echo", "http://gpu-1")
    assert settings.trusted_peers == ("10.0.0.5/32", "fd00::/8")
    assert settings.trusted_header == "x-tenant"


def test_database_and_blobs_are_in_the_data_directory_by_default() -> None:
    settings = Settings(data_dir=Path("/srv/data"))
    assert settings.database_url == "sqlite+aiosqlite:////srv/data/batchwire.db"
    assert (settings.blob_url, settings.blob_dir) == ("", Path("/srv/data/blobs"))


def test_an_object_store_has_a_url_and_a_directory_has_none() -> None:
    assert Settings(blobs="s3://bucket/prefix").blob_url == "s3://bucket/prefix"
    assert Settings(blobs="/mnt/blobs").blob_dir == Path("/mnt/blobs")


def test_postgresql_urls_name_the_driver() -> None:
    assert Settings(database="postgresql://db/x").database_url == "postgresql+asyncpg://db/x"


def test_both_forms_of_upstreams_are_joined() -> None:
    settings = Settings(upstreams=[{"base_url": "http://gpu-1"}], upstream="echo")
    assert [upstream.base_url for upstream in settings.all_upstreams] == ["http://gpu-1", "echo"]
