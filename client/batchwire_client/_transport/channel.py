"""The gRPC channel to the server."""

from __future__ import annotations

import grpc

from batchwire_client._settings import Settings

_MEBIBYTE = 1024 * 1024

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.primary_user_agent", "batchwire-python"),
    ("grpc.max_receive_message_length", 64 * _MEBIBYTE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # By default gRPC waits up to two minutes between connection attempts, longer than RetryPolicy.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Turns off the proxy for resolved addresses that GRPC_ADDRESS_HTTP_PROXY names.
    ("grpc.address_http_proxy_enabled_addresses", ""),
)


def sync_channel(settings: Settings) -> grpc.Channel:
    """Return a channel for blocking calls."""
    if settings.secure:
        return grpc.secure_channel(settings.target, _credentials(settings), options=_options(settings))
    return grpc.insecure_channel(settings.target, options=_options(settings))


def async_channel(settings: Settings) -> grpc.aio.Channel:
    """Return a channel for calls on the running event loop."""
    if settings.secure:
        return grpc.aio.secure_channel(settings.target, _credentials(settings), options=_options(settings))
    return grpc.aio.insecure_channel(settings.target, options=_options(settings))


def _options(settings: Settings) -> tuple[tuple[str, int | str], ...]:
    """Return the channel's options. Without a proxy of the settings, gRPC must not look for one."""
    if settings.proxy is None:
        return (*OPTIONS, ("grpc.enable_http_proxy", 0))
    return (*OPTIONS, ("grpc.http_proxy", settings.proxy))


def _credentials(settings: Settings) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(root_certificates=settings.root_certificates)
