"""The role gateway: the REST gateway, in front of an api."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from grpc import aio

from batchwire_server.gateway.app import create_app
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.roles.addresses import split_address
from batchwire_server.roles.errors import ListenError
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_signals
from batchwire_server.settings import Settings

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # gRPC would take proxies from the environment. The api is in the installation's own network.
    ("grpc.enable_http_proxy", 0),
    ("grpc.address_http_proxy_enabled_addresses", ""),
)
SOCKET_BACKLOG = 2048


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers: `stop_on_signals` has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


@asynccontextmanager
async def running_gateway(settings: Settings, api: str, token: str = "") -> AsyncIterator[str]:
    """Run the REST gateway; yield its address.

    Args:
        settings: all settings.
        api: HOST:PORT of the api.
        token: the secret by which an api in the same process recognizes this gateway.

    Raises:
        ListenError: the address cannot be bound.
    """
    host, port = split_address(settings.http_listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(SOCKET_BACKLOG)  # callers may connect as soon as the address is announced
    except OSError as error:
        listening.close()
        raise ListenError(f"cannot listen at {settings.http_listen}: {error.strerror}") from error
    async with aio.insecure_channel(api, options=CHANNEL_OPTIONS) as channel:
        config = uvicorn.Config(
            create_app(channel, GatewayOptions(tenant_header=settings.trusted_header, token=token, api=api)),
            http="httptools",
            loop="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,  # any caller can send a header that names an address
            log_config=None,
            workers=1,  # or uvicorn would read WEB_CONCURRENCY
            timeout_graceful_shutdown=RPC_GRACE_S,
        )
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"{host}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def run(settings: Settings) -> None:
    """Run the gateway until SIGINT or SIGTERM."""
    stop = stop_on_signals()
    async with running_gateway(settings, settings.api) as address:
        announce(http=address)
        await stop.wait()
