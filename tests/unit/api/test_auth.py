"""Credentials of a call: API key, address of the peer, trusted header."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from batchwire_server.api.auth import act_for, address_of, key_of, tenant_of, trusted_tenant
from batchwire_server.core.trusted_header import TrustedHeader

Metadata = tuple[tuple[str, str], ...]


class Call:
    """The part of a call's context that holds metadata and peer."""

    def __init__(self, metadata: Metadata = (), peer: str = "ipv4:10.0.0.5:1") -> None:
        self._metadata = metadata
        self._peer = peer

    def invocation_metadata(self) -> Metadata | None:
        return self._metadata or None

    def peer(self) -> str:
        return self._peer


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ((), ""),
        ((("authorization", "Bearer k"),), "k"),
        ((("authorization", "bearer  k "),), "k"),
        ((("authorization", "Basic k"),), ""),
        ((("api-key", "k"),), "k"),
        ((("x-api-key", "k"),), "k"),
        ((("x-api-key", "second"), ("api-key", "first")), "first"),
        ((("api-key", ""), ("x-api-key", "second")), "second"),
        ((("authorization", "Basic of-a-proxy"), ("x-api-key", "k")), "k"),
        ((("authorization", "Bearer "), ("api-key", "k")), ""),
    ],
)
def test_the_key_is_the_bearer_token_or_else_the_first_key_header(metadata: Metadata, key: str) -> None:
    context: Any = Call(metadata)
    assert key_of(context) == key


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:5000", "10.0.0.1"),
        ("ipv6:%5B::1%5D:5000", "::1"),
        ("ipv6:[::1]:5000", "::1"),
        ("unix:/tmp/socket", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_peer_has_no_port_and_no_brackets(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_the_trusted_header_counts_only_from_its_peers() -> None:
    header = TrustedHeader("x-tenant", (ip_network("10.0.0.5/32"),))
    trusted: Any = Call((("x-tenant", "red"),))
    stranger: Any = Call((("x-tenant", "red"),), "ipv4:10.0.0.6:1")
    assert trusted_tenant(trusted, header) == "red"
    assert trusted_tenant(stranger, header) is None


def test_the_tenant_of_a_call_is_the_one_that_was_set() -> None:
    context: Any = Call()
    act_for("red")
    assert tenant_of(context) == "red"
