"""The composition root: the roles, from settings to running and back."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from grpc import aio

from batchwire_server import parts
from batchwire_server.rest.app import create_app
from batchwire_server.rest.options import GatewayOptions
from batchwire_server.rpc.server import RpcServer
from batchwire_server.settings import Settings
from batchwire_server.supervisor import Patience, Supervisor, give_signs_of_life, keep_isolation

log = logging.getLogger(__name__)

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024),)
RPC_GRACE_S = 5.0
BACKLOG = 2048


class ListenError(Exception):
    """An address cannot be listened at."""


class NoKeysError(Exception):
    """The server would be open to others than this machine."""


class DataDirInUseError(Exception):
    """Another `serve` works on this data directory."""


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


async def open_without_keys(settings: Settings, world: parts.World, *addresses: str) -> bool:
    """Decides whether callers need no key as long as there never was one.

    Raises NoKeysError when others than this machine could reach a server that nobody holds a key for.
    """
    if settings.trusted_header:
        return False
    if settings.auth == "open" or all(is_loopback(address) for address in addresses):
        return True
    if not await world.store.has_keys():
        raise NoKeysError(
            f"{' and '.join(addresses)} can be reached from other machines, and there is no API key yet; make one with "
            "`batchwire-server keys create`, or say `--auth open` if something in front of the server authenticates callers"
        )
    return False


def stop_on_signals() -> asyncio.Event:
    """Returns an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def stop_on_end_of_stdin(stop: asyncio.Event) -> None:
    """Sets an event when the standard input becomes readable: nothing is sent there, so that it has ended."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(stdin)
        stop.set()

    loop.add_reader(stdin, ended)


@contextmanager
def only_serve_of(data_dir: Path) -> Iterator[str]:
    """Holds the data directory for this process alone; yields the name that its workers go by. Raises DataDirInUseError."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataDirInUseError(f"another `serve` works on {data_dir}") from None
        file.seek(0)
        if not (node := file.read().strip()):
            node = f"{socket.gethostname()}-{secrets.token_hex(4)}"
            file.write(node)
            file.flush()
        yield node


@asynccontextmanager
async def running_api(
    settings: Settings, world: parts.World, *addresses: str, gateway_token: str = ""
) -> AsyncIterator[str]:
    """Runs the gRPC face; yields its address. `addresses` are all at which callers come in."""
    is_open = await open_without_keys(settings, world, *addresses)
    use_cases = parts.use_cases(settings, world, open_without_keys=is_open, gateway_token=gateway_token)
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


def announce(**addresses: str) -> None:
    """Says, in one line, that the server serves."""
    sys.stdout.write(f"ready {' '.join(f'{name}={address}' for name, address in addresses.items())}\n")
    sys.stdout.flush()


async def serve(settings: Settings) -> None:
    """Runs all roles: api and gateway here, workers as child processes."""
    stop = stop_on_signals()
    async with AsyncExitStack() as stack:
        node = stack.enter_context(only_serve_of(settings.data_dir))
        world = await stack.enter_async_context(parts.open_world(settings))
        # Workers of a `serve` that was killed may still hold leases; nobody else goes by this name.
        await world.store.release_worker(node, crashed=True)
        if not settings.blobs:  # nobody else writes there
            await world.blobs.clear_temporary(math.inf)
        token = secrets.token_urlsafe()
        listens = (settings.grpc_listen, settings.http_listen)
        grpc_address = await stack.enter_async_context(running_api(settings, world, *listens, gateway_token=token))
        http_address = await stack.enter_async_context(running_gateway(settings, grpc_address, token))
        names = [f"{node}/{number}" for number in range(settings.workers)]
        times = Patience(settings.work.drain_grace * 2 + RPC_GRACE_S, settings.work.lease_ttl * 2)
        said, release = settings.model_dump_json(), partial(world.store.release_worker, crashed=True)
        supervising = asyncio.create_task(Supervisor(names, said, release, times).run(stop))
        isolating = asyncio.create_task(
            keep_isolation(f"{node}/isolated", said, world.store.set_aside_waits, release, stop, times)
        )
        announce(grpc=grpc_address, http=http_address)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, supervising}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()  # if it was the other that ended, what it raises is raised below
        log.info("ending: calls in flight have up to %.0f s", settings.work.drain_grace)
        await supervising
        await isolating


async def api(settings: Settings) -> None:
    """Runs the role api alone."""
    stop = stop_on_signals()
    async with parts.open_world(settings) as world, running_api(settings, world, settings.grpc_listen) as address:
        announce(grpc=address)
        await stop.wait()


async def gateway(settings: Settings) -> None:
    """Runs the role gateway alone."""
    stop = stop_on_signals()
    async with running_gateway(settings, settings.api) as address:
        announce(http=address)
        await stop.wait()


async def worker(settings: Settings, name: str | None, *, until_stdin_ends: bool, isolated: bool) -> None:
    """Runs the role worker alone.

    Args:
        settings: all settings.
        name: the holder of its leases; a fresh one when None.
        until_stdin_ends: whether a supervisor runs it: the end of the standard input stops it too.
        isolated: whether to run only shards that were set aside, and to end when there are none.
    """
    stop = stop_on_signals()
    if until_stdin_ends:
        stop_on_end_of_stdin(stop)
    # Unlike any before it: a predecessor that still winds up must not give back what this one holds.
    own_name = f"{name or socket.gethostname()}/{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        if until_stdin_ends:
            living = asyncio.create_task(give_signs_of_life())
            stack.callback(living.cancel)
        world = await stack.enter_async_context(parts.open_world(settings))
        if isolated:
            await parts.isolation(settings, world, own_name).run(stop)
            return
        working = parts.worker(settings, world, own_name).run(stop, settings.work.drain_grace)
        if until_stdin_ends:
            await working
            return
        announce(worker=own_name)
        release = partial(world.store.release_worker, crashed=True)
        times = Patience(settings.work.drain_grace + RPC_GRACE_S, settings.work.lease_ttl * 2)
        said, waits = settings.model_dump_json(), world.store.set_aside_waits
        await asyncio.gather(working, keep_isolation(f"{own_name}/isolated", said, waits, release, stop, times))
