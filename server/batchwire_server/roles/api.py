"""The role api: the gRPC server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_network

from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.api.batches import BatchServicer
from batchwire_server.api.files import FileServicer
from batchwire_server.api.interceptor import CallInterceptor
from batchwire_server.api.models import ModelServicer
from batchwire_server.api.server import RpcServer
from batchwire_server.api.uploads import UploadServicer
from batchwire_server.api.webhooks import WebhookServicer
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.ports import TaskQueue
from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.roles.adapters import Adapters, open_adapters
from batchwire_server.roles.addresses import is_loopback, split_address
from batchwire_server.roles.errors import ListenError, NoKeysError
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_signals
from batchwire_server.service.api_keys import ApiKeyAuthenticator
from batchwire_server.service.batches import Batches
from batchwire_server.service.files import Files
from batchwire_server.service.health import HealthChecks
from batchwire_server.service.models import Models
from batchwire_server.service.results import Results
from batchwire_server.service.retries import Retries
from batchwire_server.service.uploads import Uploads
from batchwire_server.service.watches import Watches
from batchwire_server.service.webhooks import Webhooks
from batchwire_server.settings import Settings

OVERDUE_S = 30.0
"""Seconds that a task may be claimable without being claimed before the workers count as down."""


def build_servicers(settings: Settings, adapters: Adapters, watches: Watches) -> Mapping[str, object]:
    """Build the servicer of each service of the protocol, by the service's name."""
    store, blobs, limits = adapters.store, adapters.blobs, settings.limits.enforced
    files = Files(store, blobs, limits)
    batches = Batches(store, store, Retries(store, blobs, limits), limits)
    webhooks = Webhooks(store, adapters.webhooks, private=settings.limits.private_webhooks)
    return {
        "FileService": FileServicer(files),
        "UploadService": UploadServicer(Uploads(store, blobs, files, limits)),
        "BatchService": BatchServicer(batches, watches, Results(store, blobs, adapters.changes)),
        "ModelService": ModelServicer(Models(adapters.catalog)),
        "WebhookService": WebhookServicer(webhooks),
    }


def build_health_checks(adapters: Adapters) -> HealthChecks:
    """Build the health checks of all components."""
    return HealthChecks(
        {
            Component.DATABASE: adapters.store.reach,
            Component.BLOBS: adapters.blobs.reach,
            Component.UPSTREAMS: adapters.catalog.reach,
            Component.WORKERS: partial(_require_workers, adapters.store),
        }
    )


async def _require_workers(queue: TaskQueue) -> None:
    """Raise OutOfReachError if no worker claims the tasks that are due."""
    if await queue.overdue(OVERDUE_S):
        raise OutOfReachError(
            Component.WORKERS, f"tasks have been due for {OVERDUE_S:.0f} s, and no worker claims them"
        )


async def open_without_keys(settings: Settings, adapters: Adapters, *addresses: str) -> bool:
    """Return True if requests without a key are accepted until the first key is created.

    `addresses` are all addresses at which callers connect, as HOST:PORT.

    Raises NoKeysError if other machines can reach one of them and nothing authenticates callers.
    """
    if settings.trusted_header:
        return False
    reachable = [address for address in addresses if not is_loopback(address)]
    if settings.auth == "open" or not reachable:
        return True
    if not await adapters.store.has_keys():
        raise NoKeysError(
            f"{' and '.join(reachable)} can be reached from other machines, and there is no API key yet: create one with "
            "`batchwire-server keys create`, or give `--auth open` if a proxy in front of the server authenticates callers"
        )
    return False


@asynccontextmanager
async def running_api(
    settings: Settings, adapters: Adapters, *addresses: str, gateway_token: str = ""
) -> AsyncIterator[str]:
    """Run the gRPC server; yield its address.

    Args:
        settings: all settings.
        adapters: the adapters.
        addresses: all addresses at which callers connect, as HOST:PORT.
        gateway_token: the secret by which the gateway of this process is recognized. Empty means
            that there is none.

    Raises:
        ListenError: the address cannot be bound.
        NoKeysError: other machines can reach the server, and nothing authenticates callers.
    """
    is_open = await open_without_keys(settings, adapters, *addresses)
    networks = tuple(map(ip_network, settings.trusted_peers))
    interceptor = CallInterceptor(
        ApiKeyAuthenticator(adapters.store, open_without_keys=is_open),
        TrustedHeader(settings.trusted_header, networks, gateway_token),
    )
    watches = Watches(adapters.store, adapters.changes)
    server = RpcServer(build_servicers(settings, adapters, watches), interceptor, build_health_checks(adapters))
    host, _ = split_address(settings.grpc_listen)
    try:
        port = await server.start(settings.grpc_listen)
    except RuntimeError as error:
        raise ListenError(f"cannot listen at {settings.grpc_listen}: {error}") from error
    try:
        yield f"{host}:{port}"
    finally:
        await server.stop(RPC_GRACE_S)
        await watches.close()


async def run(settings: Settings, *, migrate: bool) -> None:
    """Run the gRPC server until SIGINT or SIGTERM.

    Args:
        settings: all settings.
        migrate: apply missing migrations first. Without it, a schema that lacks some is an error.
    """
    stop = stop_on_signals()
    async with (
        open_adapters(settings, Migrations.ALL if migrate else Migrations.NONE) as adapters,
        running_api(settings, adapters, settings.grpc_listen) as address,
    ):
        announce(grpc=address)
        await stop.wait()
