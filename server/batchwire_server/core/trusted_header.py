"""The trusted header: a proxy in front has authenticated the caller and names its tenant.

The operator chooses the header's name and the networks that may send it. From any other address the
header is ignored. Batchwire's own gateway forwards the header together with the address of its
caller, and that address decides: the gateway itself makes no decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from batchwire_server.core.errors import BatchwireError, Reason

PEER = "batchwire-peer"
"""Metadata key of the address of a gateway's caller."""

TOKEN = "batchwire-gateway"  # noqa: S105 - the name of the field, not a secret
"""Metadata key of the token by which the gateway of the same process identifies itself."""

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")


@dataclass(frozen=True, slots=True)
class TrustedHeader:
    """The header that the operator trusts, and from where.

    Attributes:
        header: name of the header, in lower case. Empty means that none is trusted.
        peers: networks that may send it.
        token: secret of the gateway in this process.
    """

    header: str = ""
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    token: str = ""

    def tenant(self, peer: str, metadata: Iterable[tuple[str, str]]) -> str | None:
        """Return the tenant that a call's header names. None if it has none or is not trusted.

        Args:
            peer: the address of the other end of the connection.
            metadata: the call's metadata, with keys in lower case.

        Raises:
            BatchwireError: the trusted header is not one valid tenant.
        """
        if not self.header:
            return None
        fields = list(metadata)
        tokens = [value for key, value in fields if key == TOKEN]
        ours = bool(self.token) and any(compare_digest(token.encode(), self.token.encode()) for token in tokens)
        callers = [value for key, value in fields if key == PEER]
        direct = ours or self._trusts(peer)
        if not direct or not all(self._trusts(caller) for caller in callers) or (ours and not callers):
            return None
        values = [value for key, value in fields if key == self.header]
        if not values:
            return None
        if len(values) > 1 or not _TENANT.fullmatch(values[0]):
            raise BatchwireError(Reason.INVALID_API_KEY, f"The header '{self.header}' does not name one tenant.")
        return values[0]

    def _trusts(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.peers)
