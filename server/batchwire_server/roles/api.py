"""The role api: the gRPC server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.api.server import RpcServer
from batchwire_server.roles.adapters import Adapters, open_adapters
from batchwire_server.roles.addresses import is_loopback, split_address
from batchwire_server.roles.assembly import build_use_cases
from batchwire_server.roles.errors import ListenError, NoKeysError
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_signals
from batchwire_server.settings import Settings


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
            f"{' and '.join(reachable)} can be reached from other machines, and there is no API key yet; make one with "
            "`batchwire-server keys create`, or say `--auth open` if something in front of the server authenticates callers"
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
    use_cases = build_use_cases(settings, adapters, open_without_keys=is_open, gateway_token=gateway_token)
    server = RpcServer(use_cases)
    host, _ = split_address(settings.grpc_listen)
    try:
        port = await server.start(settings.grpc_listen)
    except RuntimeError as error:
        raise ListenError(f"cannot listen at {settings.grpc_listen}: {error}") from error
    try:
        yield f"{host}:{port}"
    finally:
        await server.stop(RPC_GRACE_S)
        await use_cases.watches.close()


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
