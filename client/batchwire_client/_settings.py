"""Settings of a client, from arguments and the environment. Nothing else reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from batchwire_client._retries import RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 30.0

_TLS_BY_SCHEME = {"http": False, "grpc": False, "https": True, "grpcs": True}
_TLS_PORT = ":443"


@dataclass(frozen=True, slots=True)
class Settings:
    """The resolved settings of a client.

    Attributes:
        target: address of the server, as gRPC takes it.
        secure: whether to use TLS.
        root_certificates: trusted certificates in PEM. None means those that come with gRPC.
        metadata: metadata of every call.
        timeout: seconds that a unary call may take.
        proxy: URL of the HTTP proxy. None means a direct connection.
        retry_policy: when to retry.
    """

    target: str
    secure: bool
    root_certificates: bytes | None
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)  # holds the API key
    timeout: float
    retry_policy: RetryPolicy
    proxy: str | None = field(default=None, repr=False)  # may hold a password


def resolve(
    target: str | None = None,
    *,
    api_key: str | None = None,
    secure: bool | None = None,
    root_certificates: bytes | None = None,
    timeout: float = DEFAULT_TIMEOUT_S,
    retry_policy: RetryPolicy | None = None,
    proxy: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings: arguments first, then the environment, then defaults.

    Raises ValueError if gRPC cannot use the proxy. It would connect without one.
    """
    if proxy is not None and not (proxy.startswith("http://") and urlsplit(proxy).hostname):
        raise ValueError("proxy must be a URL that starts with http://, such as http://proxy:3128")
    named = target or environment.get("BATCHWIRE_TARGET") or DEFAULT_TARGET
    key = (api_key or environment.get("BATCHWIRE_API_KEY") or "").strip()
    address, scheme_secure = _split_scheme(named)
    if secure is None:
        secure = scheme_secure if scheme_secure is not None else bool(root_certificates) or address.endswith(_TLS_PORT)
    return Settings(
        target=address,
        secure=secure,
        root_certificates=root_certificates,
        metadata=(("authorization", f"Bearer {key}"),) if key else (),
        timeout=timeout,
        retry_policy=retry_policy or RetryPolicy(),
        proxy=proxy,
    )


def _split_scheme(target: str) -> tuple[str, bool | None]:
    """Return the address of a target, and whether its scheme asks for TLS.

    A target without a known scheme is returned as it is, with None: gRPC resolves names such as
    `dns:///HOST` itself.
    """
    parts = urlsplit(target) if "://" in target else None
    if parts is None or parts.scheme not in _TLS_BY_SCHEME:
        return target, None
    secure = _TLS_BY_SCHEME[parts.scheme]
    default_port = _TLS_PORT if secure else ":80"
    return (parts.netloc if parts.port else parts.netloc + default_port), secure
