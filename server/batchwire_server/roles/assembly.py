"""Builds the use cases of the api, and the worker with its handlers, from settings and adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_network

from batchwire_server.adapters.webhooks import HttpWebhooks
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.limits import Limits
from batchwire_server.core.ports import TaskQueue
from batchwire_server.core.records import TaskKind
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.roles.adapters import Adapters
from batchwire_server.service.api_keys import ApiKeyAuthenticator
from batchwire_server.service.batches import Batches
from batchwire_server.service.files import Files
from batchwire_server.service.health import HealthChecks
from batchwire_server.service.models import Models
from batchwire_server.service.results import Results
from batchwire_server.service.retries import Retries
from batchwire_server.service.uploads import Uploads
from batchwire_server.service.use_cases import UseCases
from batchwire_server.service.watches import Watches
from batchwire_server.service.webhooks import Webhooks
from batchwire_server.settings import Settings
from batchwire_server.worker.handlers.deliver import Deliverer
from batchwire_server.worker.handlers.finalize import Finalizer
from batchwire_server.worker.handlers.orphans import Orphans
from batchwire_server.worker.handlers.sweep import Sweeper
from batchwire_server.worker.handlers.validate import Validator
from batchwire_server.worker.quarantine import QuarantineRunner
from batchwire_server.worker.runner import Runner
from batchwire_server.worker.worker import Handler, Worker

OVERDUE_S = 30.0
"""Seconds that a task may be claimable without being claimed before the workers count as down."""


def build_use_cases(
    settings: Settings, adapters: Adapters, *, open_without_keys: bool, gateway_token: str = ""
) -> UseCases:
    """Build the use cases that the gRPC server calls.

    Args:
        settings: all settings.
        adapters: the adapters.
        open_without_keys: accept requests without a key until the first key is created.
        gateway_token: the secret by which the gateway of this process is recognized. Empty means
            that there is none.
    """
    store, blobs, limits = adapters.store, adapters.blobs, _limits(settings)
    files = Files(store, blobs, limits)
    return UseCases(
        files=files,
        uploads=Uploads(store, blobs, files, limits),
        batches=Batches(store, store, Retries(store, blobs, limits), limits),
        watches=Watches(store, adapters.changes),
        results=Results(store, blobs, adapters.changes),
        models=Models(adapters.catalog),
        webhooks=Webhooks(store, _webhook_sender(settings), private=settings.limits.private_webhooks),
        authenticator=ApiKeyAuthenticator(store, open_without_keys=open_without_keys),
        trusted_header=TrustedHeader(
            settings.trusted_header, tuple(map(ip_network, settings.trusted_peers)), gateway_token
        ),
        health_checks=HealthChecks(
            {
                Component.DATABASE: store.reach,
                Component.BLOBS: blobs.reach,
                Component.UPSTREAMS: adapters.catalog.reach,
                Component.WORKERS: partial(_require_workers, store),
            }
        ),
    )


def build_worker(settings: Settings, adapters: Adapters, name: str) -> Worker:
    """Build the worker that holds its leases under a name."""
    work, limits = settings.work, _limits(settings)
    store, blobs, catalog = adapters.store, adapters.blobs, adapters.catalog
    handlers: Mapping[TaskKind, Handler] = {
        TaskKind.VALIDATE: Validator(store, blobs, catalog, limits, mixed_models=settings.limits.mixed_models),
        TaskKind.EXPIRE: store.expire,
        TaskKind.FINALIZE: Finalizer(store, blobs, default_lifetime=limits.batch_file_lifetime),
        TaskKind.DELIVER: Deliverer(store, store, _webhook_sender(settings)),
        TaskKind.SWEEP: Sweeper(
            store,
            store,
            blobs,
            interval=work.sweep_interval,
            result_lifetime=settings.limits.result_lifetime,
            batch_lifetime=settings.limits.batch_lifetime,
        ),
        TaskKind.ORPHANS: Orphans(store, store, blobs, interval=work.orphan_interval, age=work.orphan_age),
    }

    def build_runner(may_call: Callable[[], bool], on_room: Callable[[], None]) -> Runner:
        return Runner(
            store,
            blobs,
            catalog,
            policy=_retry_policy(settings),
            flush_interval=work.flush_interval,
            cancel_grace=work.cancel_grace,
            may_call=may_call,
            on_room=on_room,
        )

    return Worker(name, store, adapters.changes, handlers, build_runner, ttl=work.lease_ttl, beat=work.heartbeat)


def build_quarantine_runner(settings: Settings, adapters: Adapters, name: str) -> QuarantineRunner:
    """Build the runner of quarantined shards that holds its leases under a name."""
    return QuarantineRunner(
        name,
        adapters.store,
        adapters.blobs,
        adapters.catalog,
        policy=_retry_policy(settings),
        ttl=settings.work.lease_ttl,
        beat=settings.work.heartbeat,
    )


async def _require_workers(queue: TaskQueue) -> None:
    """Raise OutOfReachError if no worker claims the tasks that are due."""
    if await queue.overdue(OVERDUE_S):
        raise OutOfReachError(Component.WORKERS, f"work has been waiting for {OVERDUE_S:.0f} s and nobody takes it")


def _limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        max_file_bytes=limits.max_file_bytes,
        max_part_bytes=limits.max_part_bytes,
        max_line_bytes=limits.max_line_bytes,
        max_lines=limits.max_lines,
        min_lines=limits.min_lines,
        max_embedding_inputs=limits.max_embedding_inputs,
        batches_per_hour=limits.batches_per_hour,
        endpoints=limits.endpoints,
        require_jsonl_name=limits.require_jsonl_name,
        batch_file_lifetime=limits.batch_file_lifetime,
        upload_lifetime=limits.upload_lifetime,
    )


def _webhook_sender(settings: Settings) -> HttpWebhooks:
    return HttpWebhooks(settings.work.delivery_timeout, private=settings.limits.private_webhooks)


def _retry_policy(settings: Settings) -> RetryPolicy:
    work = settings.work
    return RetryPolicy(work.max_attempts, work.retry_base, work.retry_cap)
