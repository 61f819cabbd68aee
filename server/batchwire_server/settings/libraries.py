"""Environment variables that libraries read. `docs/configuration.md` lists what each one does."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

LOCAL_NAME = "localhost"

# A request to the link-local metadata service of a cloud must not pass a proxy: the service would
# return the credentials of the proxy's machine.
DIRECT_NETWORKS = ("127.0.0.0/8", "::1", "169.254.0.0/16")
"""Addresses that the proxies of the environment never apply to."""

IGNORED = ("GRPC_POLL_STRATEGY", "PROMETHEUS_MULTIPROC_DIR")
"""Variables that are removed: with a wrong value, the library ends the process."""

_WARNINGS = {
    "grpc_proxy": "connections between the roles take no proxy; set upstreams[].proxy for an upstream",
    "REQUESTS_CA_BUNDLE": "set SSL_CERT_FILE to the file of trusted certificates",
    "CURL_CA_BUNDLE": "set SSL_CERT_FILE to the file of trusted certificates",
}


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Change the variables that libraries read. Call this before they are imported.

    `NO_PROXY` gets the entries of both spellings, and this machine's addresses.
    """
    for name in IGNORED:
        environment.pop(name, None)
    environment.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # no process forks; with support, gRPC logs about it
    given = (environment.get(name, "") for name in ("NO_PROXY", "no_proxy"))
    entries = (entry.strip() for value in given for entry in value.split(","))
    direct = dict.fromkeys([*filter(None, entries), LOCAL_NAME, *DIRECT_NETWORKS])
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(direct)


def ignored_with_warning(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set without effect, each with what to do instead."""
    found = {name: advice for name, advice in _WARNINGS.items() if environment.get(name)}
    if environment.get("SSL_CERT_FILE"):
        return {name: advice for name, advice in found.items() if "SSL_CERT_FILE" not in advice}
    return found


def proxy_variable(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the variable whose proxy applies to a URL unless `NO_PROXY` exempts it, or None."""
    parts = urlsplit(url)
    if _is_direct(parts.hostname or ""):
        return None
    names = (f"{parts.scheme}_proxy", "all_proxy")
    return next((each for name in names for each in (name, name.upper()) if environment.get(each)), None)


def _is_direct(host: str) -> bool:
    """Return True if the proxies of the environment never apply to a host."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == LOCAL_NAME or host.endswith(f".{LOCAL_NAME}")
    return any(address in ip_network(network) for network in DIRECT_NETWORKS)
