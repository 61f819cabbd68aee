"""The settings of a client, and the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from batchwire_client._retries import RetryPolicy

DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 30.0

_SCHEMES = {"http": False, "grpc": False, "https": True, "grpcs": True}
_TLS_PORT = ":443"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a client."""

    target: str
    secure: bool
    root_certificates: bytes | None
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)  # holds the API key
    timeout: float
    retry_policy: RetryPolicy


def resolve(
    target: str | None = None,
    *,
    api_key: str | None = None,
    secure: bool | None = None,
    root_certificates: bytes | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    retry_policy: RetryPolicy | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings: from the arguments, else the environment, else the defaults."""
    named = target or environment.get("BATCHWIRE_TARGET") or DEFAULT_TARGET
    key = (api_key or environment.get("BATCHWIRE_API_KEY") or "").strip()
    address, scheme_says = _without_scheme(named)
    if secure is None:
        secure = scheme_says if scheme_says is not None else bool(root_certificates) or address.endswith(_TLS_PORT)
    return Settings(
        target=address,
        secure=secure,
        root_certificates=root_certificates,
        metadata=(("authorization", f"Bearer {key}"),) if key else (),
        timeout=timeout,
        retry_policy=retry_policy or RetryPolicy(),
    )


def _without_scheme(target: str) -> tuple[str, bool | None]:
    """Return the address of a target, and whether its scheme asks for TLS (None without a scheme).

    Targets with a scheme of gRPC's own, such as `dns:`, are returned unchanged.
    """
    parts = urlsplit(target) if "://" in target else None
    if parts is None or parts.scheme not in _SCHEMES:
        return target, None
    secure = _SCHEMES[parts.scheme]
    default_port = _TLS_PORT if secure else ":80"
    return (parts.netloc if parts.port else parts.netloc + default_port), secure
