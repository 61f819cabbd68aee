"""The trusted header."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.trusted_header import PEER, TOKEN, TrustedHeader

TRUST = TrustedHeader("x-tenant", (ip_network("10.0.0.0/24"), ip_network("fd00::/8")), "secret")
RED = ("x-tenant", "red")


@pytest.mark.parametrize("peer", ["10.0.0.7", "fd00::1", "::ffff:10.0.0.7"])
def test_a_trusted_peer_names_the_tenant(peer: str) -> None:
    assert TRUST.tenant(peer, [RED]) == "red"


@pytest.mark.parametrize("peer", ["10.0.1.7", "127.0.0.1", "::1", "", "unix:/x", "10.0.0.7, 10.0.1.7"])
def test_the_header_of_any_other_peer_is_ignored(peer: str) -> None:
    assert TRUST.tenant(peer, [RED]) is None


def test_behind_a_gateway_both_gateway_and_caller_must_be_trusted() -> None:
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.0.8")]) == "red"
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.1.8")]) is None
    assert TRUST.tenant("10.0.1.7", [RED, (PEER, "10.0.0.8")]) is None
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.0.8"), (PEER, "10.0.1.8")]) is None


def test_the_gateway_of_this_process_is_trusted_by_its_token() -> None:
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "secret")]) == "red"
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.1.8"), (TOKEN, "secret")]) is None
    assert TRUST.tenant("127.0.0.1", [RED, (TOKEN, "secret")]) is None
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "guess")]) is None
    no_token = TrustedHeader(TRUST.header, TRUST.peers)
    assert no_token.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "")]) is None


def test_without_the_header_there_is_no_tenant() -> None:
    assert TRUST.tenant("10.0.0.7", []) is None
    assert TrustedHeader().tenant("10.0.0.7", [RED, ("", "red")]) is None


@pytest.mark.parametrize(
    "said", [["red", "blue"], ["red", "red"], [""], [" red"], ["r\u00e9d"], ["x" * 129], ["red,blue"]]
)
def test_a_header_that_is_not_one_valid_tenant_is_refused(said: list[str]) -> None:
    with pytest.raises(BatchwireError, match="does not name one tenant"):
        TRUST.tenant("10.0.0.7", [("x-tenant", value) for value in said])
