"""Addresses: HOST:PORT is split, and loopback is told from the rest."""

from __future__ import annotations

import pytest
from batchwire_server.roles.addresses import is_loopback, split_address
from batchwire_server.roles.errors import ListenError

HERE, ANYWHERE = "127.0.0.1:1", "0.0.0.0:1"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (HERE, True),
        ("127.1.2.3:80", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        (ANYWHERE, False),
        ("[::]:80", False),
        ("10.0.0.5:80", False),
        ("server.example:80", False),
        ("localhost.example:80", False),
    ],
)
def test_only_loopback_addresses_are_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("address", "host", "port"), [("localhost:80", "localhost", 80), ("[::1]:0", "::1", 0), (":80", "", 80)]
)
def test_an_address_is_split_at_its_last_colon(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", "localhost:http", "80"])
def test_other_forms_are_refused(address: str) -> None:
    with pytest.raises(ListenError, match="is not HOST:PORT"):
        split_address(address)
