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
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

from batchwire_server.adapters.sql.engine import WORK
from batchwire_server.roles import adapters as parts
from batchwire_server.roles.errors import DataDirInUseError
from batchwire_server.roles.supervisor import Patience, Supervisor, give_signs_of_life, keep_isolation
from batchwire_server.settings import Settings

log = logging.getLogger(__name__)

RPC_GRACE_S = 5.0


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
    parts.make_data_dir(data_dir)
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


def announce(**addresses: str) -> None:
    """Says, in one line, that the server serves."""
    sys.stdout.write(f"ready {' '.join(f'{name}={address}' for name, address in addresses.items())}\n")
    sys.stdout.flush()


async def serve(settings: Settings) -> None:
    """Runs all roles: api and gateway here, workers as child processes."""
    from batchwire_server.roles import api as faces  # noqa: PLC0415 - a worker is spared what this brings with it

    stop = stop_on_signals()
    async with AsyncExitStack() as stack:
        node = stack.enter_context(only_serve_of(settings.data_dir))
        world = await stack.enter_async_context(parts.open_adapters(settings))
        # Workers of a `serve` that was killed may still hold leases; nobody else goes by this name.
        await world.store.release_worker(node, crashed=True)
        if not settings.blobs:  # nobody else writes there
            await world.blobs.clear_temporary(math.inf)
        token = secrets.token_urlsafe()
        listens = (settings.grpc_listen, settings.http_listen)
        grpc_address = await stack.enter_async_context(
            faces.running_api(settings, world, *listens, gateway_token=token)
        )
        http_address = await stack.enter_async_context(faces.running_gateway(settings, grpc_address, token))
        names = [f"{node}/{number}" for number in range(settings.workers)]
        times = Patience(settings.work.drain_grace * 2 + RPC_GRACE_S, settings.work.lease_ttl * 2)
        said, release = settings.model_dump_json(), partial(world.store.release_worker, crashed=True)
        supervising = asyncio.create_task(Supervisor(names, said, release, times).run(stop))
        isolating = asyncio.create_task(
            keep_isolation(f"{node}/isolated", said, world.store.quarantine_waits, release, stop, times)
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
    from batchwire_server.roles import api as faces  # noqa: PLC0415 - a worker is spared what this brings with it

    stop = stop_on_signals()
    async with (
        parts.open_adapters(settings) as world,
        faces.running_api(settings, world, settings.grpc_listen) as address,
    ):
        announce(grpc=address)
        await stop.wait()


async def gateway(settings: Settings) -> None:
    """Runs the role gateway alone."""
    from batchwire_server.roles import api as faces  # noqa: PLC0415 - a worker is spared what this brings with it

    stop = stop_on_signals()
    async with faces.running_gateway(settings, settings.api) as address:
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
        world = await stack.enter_async_context(parts.open_adapters(settings, WORK))
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
        said, waits = settings.model_dump_json(), world.store.quarantine_waits
        await asyncio.gather(working, keep_isolation(f"{own_name}/isolated", said, waits, release, stop, times))
