"""Addresses in the form HOST:PORT."""

from __future__ import annotations

from ipaddress import ip_address

from batchwire_server.roles.errors import ListenError


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` into host and port, without the brackets of an IPv6 host.

    Raises ListenError if it has another form.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ListenError(f"the address {address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Return True if only this machine can reach a `HOST:PORT`. Raises ListenError."""
    host, _ = split_address(address)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
