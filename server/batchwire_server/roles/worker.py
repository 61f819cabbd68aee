"""The role worker: claims tasks and runs them."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from batchwire_server.adapters.sql import Channel
from batchwire_server.adapters.sql.migrate import Migrations
from batchwire_server.core.records import TaskKind
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.roles.adapters import Adapters, open_adapters
from batchwire_server.roles.process import RPC_GRACE_S, announce, stop_on_end_of_stdin, stop_on_signals
from batchwire_server.roles.supervisor import WorkerTimeouts, keep_quarantine_worker, send_heartbeats
from batchwire_server.settings import Settings
from batchwire_server.worker.handlers.deliver import Deliverer
from batchwire_server.worker.handlers.finalize import Finalizer
from batchwire_server.worker.handlers.orphans import Orphans
from batchwire_server.worker.handlers.sweep import Sweeper
from batchwire_server.worker.handlers.validate import Validator
from batchwire_server.worker.quarantine import QuarantineRunner
from batchwire_server.worker.runner import Runner
from batchwire_server.worker.worker import Handler, Worker


def build_worker(settings: Settings, adapters: Adapters, name: str) -> Worker:
    """Build the worker that holds its leases under a name."""
    work, limits = settings.work, settings.limits.enforced
    store, blobs, catalog = adapters.store, adapters.blobs, adapters.catalog
    handlers: Mapping[TaskKind, Handler] = {
        TaskKind.VALIDATE: Validator(store, blobs, catalog, limits, mixed_models=settings.limits.mixed_models),
        TaskKind.EXPIRE: store.expire,
        TaskKind.FINALIZE: Finalizer(store, blobs, default_lifetime=limits.batch_file_lifetime),
        TaskKind.DELIVER: Deliverer(store, store, adapters.webhooks),
        TaskKind.SWEEP: Sweeper(
            store,
            store,
            blobs,
            interval_s=work.sweep_interval,
            result_lifetime=settings.limits.result_lifetime,
            batch_lifetime=settings.limits.batch_lifetime,
        ),
        TaskKind.ORPHANS: Orphans(store, store, blobs, interval_s=work.orphan_interval, age_s=work.orphan_age),
    }

    def build_runner(may_call: Callable[[], bool], on_demand: Callable[[], None]) -> Runner:
        return Runner(
            store,
            blobs,
            catalog,
            policy=_retry_policy(settings),
            flush_interval_s=work.flush_interval,
            cancel_grace_s=work.cancel_grace,
            may_call=may_call,
            on_demand=on_demand,
        )

    return Worker(
        name, store, adapters.changes, handlers, build_runner, ttl_s=work.lease_ttl, heartbeat_s=work.heartbeat
    )


def build_quarantine_runner(settings: Settings, adapters: Adapters, name: str) -> QuarantineRunner:
    """Build the runner of quarantined shards that holds its leases under a name."""
    return QuarantineRunner(
        name,
        adapters.store,
        adapters.blobs,
        adapters.catalog,
        policy=_retry_policy(settings),
        ttl_s=settings.work.lease_ttl,
        heartbeat_s=settings.work.heartbeat,
    )


def _retry_policy(settings: Settings) -> RetryPolicy:
    work = settings.work
    return RetryPolicy(work.max_attempts, work.retry_base, work.retry_cap)


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
