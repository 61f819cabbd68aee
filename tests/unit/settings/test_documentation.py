"""Documentation of settings: effective values, masked secrets, typing errors."""

from __future__ import annotations

import pytest
from batchwire_server.settings import documentation, effective, load, unknown_variables


def test_effective_values_have_the_names_of_the_documentation() -> None:
    values = effective(load(overrides={"upstreams": [{"base_url": "http://gpu-1"}]}))
    assert list(values) == [name for name, _, _ in documentation()]


def test_values_of_several_upstreams_are_joined() -> None:
    upstreams = [{"base_url": "http://gpu-1"}, {"base_url": "http://gpu-2", "max_concurrency": 8}]
    values = effective(load(overrides={"upstreams": upstreams}))
    assert values["upstreams"] == "2"
    assert values["upstreams[].base_url"] == "http://gpu-1 | http://gpu-2"
    assert values["upstreams[].max_concurrency"] == "256 | 8"


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("database", "postgresql://me:s:e%40cret@db:5432/x", "postgresql+asyncpg://***@db:5432/x"),
        ("database", "postgresql://me:p/w?@db/x", "postgresql+asyncpg://***@db/x"),
        ("database", "postgresql:///x?user=me&password=s", "postgresql+asyncpg:///x?user=***&password=***"),
        ("database", "sqlite:////srv/a@b.db", "sqlite+aiosqlite:////srv/a@b.db"),
        ("blobs", "s3://b/p?aws_secret_access_key=x/y&region=z", "s3://b/p?aws_secret_access_key=***&region=***"),
        ("upstream", ("http://secret@gpu-1/v1?api-key=s", "echo"), "http://***@gpu-1/v1?api-key=***, echo"),
    ],
)
def test_secrets_are_masked(name: str, given: object, shown: str) -> None:
    assert effective(load(overrides={name: given}))[name] == shown


def test_the_password_of_a_proxy_is_masked() -> None:
    upstreams = [{"base_url": "http://gpu-1", "proxy": "http://user:secret@proxy:3128"}]
    assert effective(load(overrides={"upstreams": upstreams}))["upstreams[].proxy"] == "http://***@proxy:3128"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("BATCHWIRE_DATABSE", "BATCHWIRE_DATABASE"),
        ("BATCHWIRE_WORKER", "BATCHWIRE_WORKERS"),
        ("BATCHWIRE_LIMITS_MAX_LINES", "BATCHWIRE_LIMITS__MAX_LINES"),
        ("BATCHWIRE_CONFIGS", "BATCHWIRE_CONFIG"),
    ],
)
def test_a_typing_error_is_found(name: str, near: str) -> None:
    assert unknown_variables([name, "PATH"]) == {name: near}


@pytest.mark.parametrize(
    "name",
    [
        "batchwire_database",
        "BATCHWIRE_LIMITS",
        "BATCHWIRE_CONFIG",
        "BATCHWIRE_TARGET",
        "BATCHWIRE_API_KEY",
        "BATCHWIRE_PORT_50051_TCP_ADDR",
        "BATCHWIRE_SERVICE_HOST",
        "BATCHWIRE_API_PORT",
        "BATCHWIRE_UPSTREAM_KEY",
    ],
)
def test_other_variables_are_not_reported(name: str) -> None:
    assert unknown_variables([name]) == {}
