"""Who is believed, and who is not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.trusted_header import PEER, TOKEN, TrustedHeader

TRUST = TrustedHeader("x-tenant", (ip_network("10.0.0.0/24"), ip_network("fd00::/8")), "secret")
RED = ("x-tenant", "red")


@pytest.mark.parametrize("peer", ["10.0.0.7", "fd00::1", "::ffff:10.0.0.7"])
def test_a_peer_of_the_operators_is_believed(peer: str) -> None:
    assert TRUST.tenant(peer, [RED]) == "red"


@pytest.mark.parametrize("peer", ["10.0.1.7", "127.0.0.1", "::1", "", "unix:/x", "10.0.0.7, 10.0.1.7"])
def test_nobody_else_is(peer: str) -> None:
    assert TRUST.tenant(peer, [RED]) is None


def test_a_gateways_caller_must_be_believed_as_well_as_the_gateway() -> None:
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.0.8")]) == "red"
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.1.8")]) is None
    assert TRUST.tenant("10.0.1.7", [RED, (PEER, "10.0.0.8")]) is None
    assert TRUST.tenant("10.0.0.7", [RED, (PEER, "10.0.0.8"), (PEER, "10.0.1.8")]) is None


def test_the_gateway_of_this_process_is_known_by_its_token() -> None:
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "secret")]) == "red"
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.1.8"), (TOKEN, "secret")]) is None
    assert TRUST.tenant("127.0.0.1", [RED, (TOKEN, "secret")]) is None
    assert TRUST.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "guess")]) is None
    no_token = TrustedHeader(TRUST.header, TRUST.peers)
    assert no_token.tenant("127.0.0.1", [RED, (PEER, "10.0.0.8"), (TOKEN, "")]) is None


def test_no_word_is_no_tenant() -> None:
    assert TRUST.tenant("10.0.0.7", []) is None
    assert TrustedHeader().tenant("10.0.0.7", [RED, ("", "red")]) is None


@pytest.mark.parametrize(
    "said", [["red", "blue"], ["red", "red"], [""], [" red"], ["r\u00e9d"], ["x" * 129], ["red,blue"]]
)
def test_a_word_that_names_no_one_tenant_is_refused(said: list[str]) -> None:
    with pytest.raises(BatchwireError, match="does not name one tenant"):
        TRUST.tenant("10.0.0.7", [("x-tenant", value) for value in said])
