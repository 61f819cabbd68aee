"""Whom to believe when a call says for whom it acts: something in front that has authenticated the caller already.

The word is a header whose name the operator chooses, and it counts only from the operator's own peers. Whoever else sends it is as good as one who
does not. A gateway of ours in between passes on the header and the address that it came from; it is asked for that address only, never for its opinion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from batchwire_server.core.errors import BatchwireError, Reason

PEER = "batchwire-peer"
"""Metadata in which a gateway names the address that its caller has."""

TOKEN = "batchwire-gateway"  # noqa: S105 - the name of the field, not a secret
"""Metadata in which the gateway of the same process proves that it is that."""

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")


@dataclass(frozen=True, slots=True)
class TrustedHeader:
    """What an operator trusts.

    Attributes:
        header: name of the header that says for whom a call acts, in lower case; empty: nobody is believed.
        peers: networks of those who are believed.
        token: what the gateway of this process knows and nobody else.
    """

    header: str = ""
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    token: str = ""

    def tenant(self, peer: str, metadata: Iterable[tuple[str, str]]) -> str | None:
        """Returns the tenant that a call says it acts for; None where it says none, or is not believed.

        Args:
            peer: the address at the other end of the connection.
            metadata: of the call, keys in lower case.

        Raises:
            BatchwireError: who is believed says nothing that could be a tenant, or several things.
        """
        if not self.header:
            return None
        fields = list(metadata)
        tokens = [value for key, value in fields if key == TOKEN]
        ours = bool(self.token) and any(compare_digest(token.encode(), self.token.encode()) for token in tokens)
        callers = [value for key, value in fields if key == PEER]
        direct = ours or self._believes(peer)
        if not direct or not all(self._believes(caller) for caller in callers) or (ours and not callers):
            return None
        said = [value for key, value in fields if key == self.header]
        if not said:
            return None
        if len(said) > 1 or not _TENANT.fullmatch(said[0]):
            raise BatchwireError(Reason.INVALID_API_KEY, f"The header '{self.header}' does not name one tenant.")
        return said[0]

    def _believes(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self.peers)
