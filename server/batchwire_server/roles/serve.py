"""The role serve: api and gateway in this process, workers as child processes."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import math
import secrets
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.roles.adapters import create_data_dir, open_adapters
from batchwire_server.roles.api import running_api
from batchwire_server.roles.errors import DataDirInUseError
from batchwire_server.roles.gateway import running_gateway
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_signals
from batchwire_server.roles.supervisor import Supervisor, WorkerTimeouts, keep_quarantine_worker
from batchwire_server.settings import Settings

log = logging.getLogger(__name__)


@contextmanager
def lock_data_dir(data_dir: Path) -> Iterator[str]:
    """Lock the data directory for this process; yield the name under which its workers hold leases.

    The name is kept in the lock file, so that the next `serve` can release what this one leaves.

    Raises DataDirInUseError if another `serve` holds the lock.
    """
    create_data_dir(data_dir)
    with (data_dir / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataDirInUseError(
                f"another `serve` works on {data_dir}: stop it, or choose another --data-dir"
            ) from None
        file.seek(0)
        if not (node := file.read().strip()):
            node = f"{socket.gethostname()}-{secrets.token_hex(4)}"
            file.write(node)
            file.flush()
        yield node


async def run(settings: Settings) -> None:
    """Run all roles until SIGINT or SIGTERM. Missing migrations are applied first."""
    stop = stop_on_signals()
    async with AsyncExitStack() as stack:
        node = stack.enter_context(lock_data_dir(settings.data_dir))
        adapters = await stack.enter_async_context(open_adapters(settings, Migrations.ALL))
        # Workers of a killed `serve` may still hold leases. The lock shows that they have ended.
        await adapters.store.release_worker(node, crashed=True)
        if not settings.blobs:  # only this installation writes to the directory, and none of its processes runs yet
            await adapters.blobs.clear_temporary(math.inf)
        token = secrets.token_urlsafe()
        listens = (settings.grpc_listen, settings.http_listen)
        grpc_address = await stack.enter_async_context(running_api(settings, adapters, *listens, gateway_token=token))
        http_address = await stack.enter_async_context(running_gateway(settings, grpc_address, token))
        names = [f"{node}/{number}" for number in range(settings.workers)]
        timeouts = WorkerTimeouts(settings.work.drain_grace * 2 + RPC_GRACE_S, settings.work.lease_ttl * 2)
        child_settings = settings.model_dump_json()
        release = partial(adapters.store.release_worker, crashed=True)
        supervising = asyncio.create_task(Supervisor(names, child_settings, release, timeouts).run(stop))
        isolating = asyncio.create_task(
            keep_quarantine_worker(
                f"{node}/isolated", child_settings, adapters.store.quarantine_waits, release, stop, timeouts
            )
        )
        announce(grpc=grpc_address, http=http_address)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, supervising}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()  # if the supervisor ended by itself, awaiting it below raises its error
        log.info("stopping: calls in flight have up to %.0f s to end", settings.work.drain_grace)
        await supervising
        await isolating
