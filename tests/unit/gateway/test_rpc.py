"""The metadata that the api receives."""

from __future__ import annotations

import pytest
from batchwire_server.core import trusted_header
from batchwire_server.gateway.methods.rpc import GATEWAY_TOKEN_KEY, PEER_KEY

from tests.unit.gateway.conftest import RunningGateway


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"authorization": "Bearer k"}, "Bearer k"),
        ({"api-key": "k"}, "Bearer k"),
        ({"x-api-key": "k"}, "Bearer k"),
        ({"authorization": "Bearer a", "api-key": "b"}, "Bearer a"),
        ({"authorization": "bearer a", "api-key": "b"}, "bearer a"),
        ({"authorization": "Basic of-a-proxy", "x-api-key": "b"}, "Bearer b"),
        ({"authorization": "Basic of-a-proxy"}, "Basic of-a-proxy"),
        ({"authorization": b"Bearer \xe9"}, None),
        ({"authorization": "Bearer " + "k" * 20_000}, "Bearer " + "k" * 2041),
        ({}, None),
    ],
)
async def test_credentials_travel_as_a_bearer_token(
    gateway: RunningGateway, headers: dict[str, str | bytes], expected: str | None
) -> None:
    raw = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in headers.items()]
    assert (await gateway.http.get("/v1/models", headers=raw)).status_code == 200
    assert gateway.api.metadata.get("authorization") == expected


def test_metadata_keys_are_those_of_the_server() -> None:
    assert (PEER_KEY, GATEWAY_TOKEN_KEY) == (trusted_header.PEER, trusted_header.TOKEN)
