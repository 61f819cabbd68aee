"""The role worker: claims tasks and runs them."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AsyncExitStack
from functools import partial

from batchwire_server.adapters.sql import Channel
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.roles.adapters import open_adapters
from batchwire_server.roles.assembly import build_quarantine_runner, build_worker
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_end_of_stdin, stop_on_signals
from batchwire_server.roles.supervisor import WorkerTimeouts, keep_quarantine_worker, send_heartbeats
from batchwire_server.settings import Settings


async def run(settings: Settings, name: str | None, *, migrate: bool, until_stdin_ends: bool, isolated: bool) -> None:
    """Run a worker until SIGINT or SIGTERM.

    Args:
        settings: all settings.
        name: the holder of its leases. None means a new name.
        migrate: apply missing migrations first. Without it, a schema that lacks some is an error.
        until_stdin_ends: True if a supervisor runs this process. The end of the standard input
            then stops it too, and the standard output carries its heartbeat.
        isolated: run only quarantined shards, and end when there are none.
    """
    stop = stop_on_signals()
    if until_stdin_ends:
        stop_on_end_of_stdin(stop)
    # A predecessor of the same name may still be shutting down, and must not release these leases.
    own_name = f"{name or socket.gethostname()}/{secrets.token_hex(4)}"
    migrations = Migrations.ALL if migrate else Migrations.NONE
    async with AsyncExitStack() as stack:
        if until_stdin_ends:
            heartbeat = asyncio.create_task(send_heartbeats())
            stack.callback(heartbeat.cancel)
        adapters = await stack.enter_async_context(open_adapters(settings, migrations, Channel.WORK))
        if isolated:
            await build_quarantine_runner(settings, adapters, own_name).run(stop)
            return
        working = build_worker(settings, adapters, own_name).run(stop, settings.work.drain_grace)
        if until_stdin_ends:
            await working
            return
        announce(worker=own_name)
        release = partial(adapters.store.release_worker, crashed=True)
        timeouts = WorkerTimeouts(settings.work.drain_grace + RPC_GRACE_S, settings.work.lease_ttl * 2)
        child_settings, waits = settings.model_dump_json(), adapters.store.quarantine_waits
        await asyncio.gather(
            working, keep_quarantine_worker(f"{own_name}/isolated", child_settings, waits, release, stop, timeouts)
        )
