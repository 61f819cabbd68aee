"""The two faces, from settings to running and back: all that needs gRPC and an HTTP server, which a worker is spared."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from ipaddress import ip_address, ip_network

import uvicorn
from grpc import aio

from batchwire_server.api.server import RpcServer, UseCases
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.ports import TaskQueue
from batchwire_server.core.trusted_header import Trust
from batchwire_server.gateway.app import create_app
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.roles import adapters as parts
from batchwire_server.roles.errors import ListenError, NoKeysError
from batchwire_server.service.api_keys import Access
from batchwire_server.service.batches import Batches
from batchwire_server.service.files import Files
from batchwire_server.service.health import Checkup
from batchwire_server.service.models import Models
from batchwire_server.service.results import Results
from batchwire_server.service.retries import Retries
from batchwire_server.service.uploads import Uploads
from batchwire_server.service.watches import Watches
from batchwire_server.service.webhooks import Webhooks
from batchwire_server.settings import Settings

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024),)
RPC_GRACE_S = 5.0
BACKLOG = 2048
OVERDUE_S = 30.0


def split_address(address: str) -> tuple[str, int]:
    """Splits `HOST:PORT`; brackets around an IPv6 host are taken off. Raises ListenError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ListenError(f"{address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Tells whether only this machine can reach a `HOST:PORT`."""
    host, _ = split_address(address)
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def open_without_keys(settings: Settings, world: parts.Adapters, *addresses: str) -> bool:
    """Decides whether callers need no key as long as there never was one.

    Raises NoKeysError when others than this machine could reach a server that nobody holds a key for.
    """
    if settings.trusted_header:
        return False
    reachable = [address for address in addresses if not is_loopback(address)]
    if settings.auth == "open" or not reachable:
        return True
    if not await world.store.has_keys():
        raise NoKeysError(
            f"{' and '.join(reachable)} can be reached from other machines, and there is no API key yet; make one with "
            "`batchwire-server keys create`, or say `--auth open` if something in front of the server authenticates callers"
        )
    return False


def use_cases(
    settings: Settings, world: parts.Adapters, *, open_without_keys: bool, gateway_token: str = ""
) -> UseCases:
    """Builds what the role api stands in front of.

    Args:
        settings: all settings.
        world: the adapters.
        open_without_keys: whether callers need no key as long as there never was one.
        gateway_token: what the gateway of the same process knows, if there is one.
    """
    allowed = parts.limits(settings)
    files = Files(world.store, world.blobs, allowed)
    return UseCases(
        files=files,
        uploads=Uploads(world.store, world.blobs, files, allowed),
        batches=Batches(world.store, world.store, Retries(world.store, world.blobs, allowed), allowed),
        watches=Watches(world.store, world.changes),
        results=Results(world.store, world.blobs, world.changes),
        models=Models(world.catalog),
        webhooks=Webhooks(world.store, parts.webhook_sender(settings), private=settings.limits.private_webhooks),
        access=Access(world.store, open_without_keys=open_without_keys),
        trust=Trust(settings.trusted_header, tuple(map(ip_network, settings.trusted_peers)), gateway_token),
        checkup=Checkup(
            {
                "database": world.store.reach,
                "blobs": world.blobs.reach,
                "upstreams": world.catalog.reach,
                "workers": partial(worked_on, world.store),
            }
        ),
    )


async def worked_on(queue: TaskQueue) -> None:
    """Raises OutOfReachError when nobody takes what is to be done."""
    if await queue.overdue(OVERDUE_S):
        raise OutOfReachError("workers", f"work has been waiting for {OVERDUE_S:.0f} s and nobody takes it")


@asynccontextmanager
async def running_api(
    settings: Settings, world: parts.Adapters, *addresses: str, gateway_token: str = ""
) -> AsyncIterator[str]:
    """Runs the gRPC face; yields its address. `addresses` are all at which callers come in."""
    is_open = await open_without_keys(settings, world, *addresses)
    served = use_cases(settings, world, open_without_keys=is_open, gateway_token=gateway_token)
    server = RpcServer(served)
    host, _ = split_address(settings.grpc_listen)
    try:
        port = await server.start(settings.grpc_listen)
    except RuntimeError as error:
        raise ListenError(f"cannot listen at {settings.grpc_listen}: {error}") from error
    try:
        yield f"{host}:{port}"
    finally:
        await server.stop(RPC_GRACE_S)
        await served.watches.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn, with the signals left to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


@asynccontextmanager
async def running_gateway(settings: Settings, api: str, token: str = "") -> AsyncIterator[str]:
    """Runs the REST face in front of the api at an address; yields its own address. `token` is what an api in the same process knows it by."""
    host, port = split_address(settings.http_listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # callers may come as soon as the address is known
    except OSError as error:
        listening.close()
        raise ListenError(f"cannot listen at {settings.http_listen}: {error.strerror}") from error
    async with aio.insecure_channel(api, options=CHANNEL_OPTIONS) as channel:
        config = uvicorn.Config(
            create_app(channel, GatewayOptions(tenant_header=settings.trusted_header, token=token)),
            http="httptools",
            loop="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,  # a header that names an address names whatever its sender likes
            log_config=None,
            timeout_graceful_shutdown=int(RPC_GRACE_S),
        )
        server = _Uvicorn(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"{host}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
