"""Builds the parts of the server from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from batchwire_server.adapters.blobs.local import LocalBlobs
from batchwire_server.adapters.changes import NotifiedChanges, PolledChanges
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.engine import CHANGES, SqliteDataVersion, listen
from batchwire_server.adapters.sql.migrate import migrate
from batchwire_server.adapters.upstreams.echo import EchoUpstream
from batchwire_server.adapters.upstreams.openai_http import HttpUpstream
from batchwire_server.adapters.webhooks import HttpWebhooks
from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError
from batchwire_server.core.limits import Limits
from batchwire_server.core.ports import BlobStore, ChangeFeed, GarbageStore
from batchwire_server.core.records import TaskKind
from batchwire_server.core.scheduling.retry import RetryPolicy
from batchwire_server.roles.errors import DataDirError
from batchwire_server.settings import ECHO, Settings, UpstreamSettings, secret
from batchwire_server.worker.handlers.deliver import Deliverer
from batchwire_server.worker.handlers.finalize import Finalizer
from batchwire_server.worker.handlers.orphans import Orphans
from batchwire_server.worker.handlers.sweep import Sweeper
from batchwire_server.worker.handlers.validate import Validator
from batchwire_server.worker.quarantine import QuarantineRunner
from batchwire_server.worker.runner import Runner
from batchwire_server.worker.worker import Handler, Worker

SAMPLE = 5
"""Of how many files the bytes are looked for at the start."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters, opened."""

    store: SqlStore
    blobs: BlobStore
    changes: ChangeFeed
    catalog: Catalog


def limits(settings: Settings) -> Limits:
    """Returns what callers may ask for."""
    said = settings.limits
    return Limits(
        max_file_bytes=said.max_file_bytes,
        max_part_bytes=said.max_part_bytes,
        max_line_bytes=said.max_line_bytes,
        max_lines=said.max_lines,
        min_lines=said.min_lines,
        max_embedding_inputs=said.max_embedding_inputs,
        batches_per_hour=said.batches_per_hour,
        endpoints=said.endpoints,
        require_jsonl_name=said.require_jsonl_name,
        batch_file_lifetime=said.batch_file_lifetime,
        upload_lifetime=said.upload_lifetime,
    )


def _http_upstream(said: UpstreamSettings) -> HttpUpstream:
    name = said.name or urlsplit(said.base_url).netloc or said.base_url
    return HttpUpstream(name, said.base_url, secret(said.api_key_env), said.timeout)


@asynccontextmanager
async def changes_of(database: Database, channel: str = CHANGES) -> AsyncIterator[ChangeFeed]:
    """Runs the feed of a database's changes; `channel` says of which, where the database tells them apart."""
    if database.dialect == "sqlite":
        version = SqliteDataVersion(database.url.database or "")
        polled = PolledChanges(version.read)
        try:
            yield polled
        finally:
            await polled.close()
            version.close()
        return
    notified = NotifiedChanges(partial(listen, database.url, channel))
    listening = asyncio.create_task(notified.run())
    try:
        yield notified
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def expect_known(rows: GarbageStore, blobs: BlobStore) -> None:
    """Raises OutOfReachError when of the newest files not one has its bytes: then the place is another one, or not mounted, and all inputs would seem lost."""
    keys = await rows.newest_needed(SAMPLE)
    looks = await asyncio.gather(*(blobs.read(key, 0, 1) for key in keys), return_exceptions=True)
    if not keys or any(isinstance(look, bytes) for look in looks):
        return
    for error in looks:
        if isinstance(error, BaseException) and not isinstance(error, BlobNotFoundError):
            raise error
    raise OutOfReachError("blobs", f"the database knows of {keys[0]}, which is not there; is it the right place?")


@asynccontextmanager
async def blobs_of(settings: Settings, rows: GarbageStore) -> AsyncIterator[BlobStore]:
    """Opens the directory or the object store that has the bytes of the files. Raises OutOfReachError."""
    if not settings.blob_url:
        await expect_known(rows, LocalBlobs(settings.blob_dir))
        yield LocalBlobs.make(settings.blob_dir)
        return
    from batchwire_server.adapters.blobs.object_store import (  # noqa: PLC0415 - 5 MB that a folder does not need
        ObjectBlobs,
        open_store,
    )

    blobs = ObjectBlobs(open_store(settings.blob_url))
    try:
        await blobs.reach()
        await expect_known(rows, blobs)
        yield blobs
    finally:
        await blobs.close()


def make_data_dir(path: Path) -> None:
    """Makes the data directory, if it is not there. Raises DataDirError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # prompts and answers are nobody else's
    except OSError as error:
        raise DataDirError(f"the data directory {path} cannot be made: {error.strerror}") from error


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[Database]:
    """Opens the database, and brings its schema up to date."""
    make_data_dir(settings.data_dir)
    database = Database(settings.database_url)
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_adapters(settings: Settings, channel: str = CHANGES) -> AsyncIterator[Adapters]:
    """Opens the adapters."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(database_of(settings))
        store = SqlStore(database)
        blobs = await stack.enter_async_context(blobs_of(settings, store))
        changes = await stack.enter_async_context(changes_of(database, channel))
        routes = []
        for said in settings.all_upstreams:
            upstream = EchoUpstream() if said.base_url == ECHO else _http_upstream(said)
            stack.push_async_callback(upstream.close)
            bounds = (said.max_concurrency, said.requests_per_minute, said.tokens_per_minute)
            routes.append(Route(upstream, said.models, *bounds))
        yield Adapters(store, blobs, changes, Catalog(routes))


def webhook_sender(settings: Settings) -> HttpWebhooks:
    """Returns what posts webhooks."""
    return HttpWebhooks(settings.work.delivery_timeout, private=settings.limits.private_webhooks)


def retry_policy(settings: Settings) -> RetryPolicy:
    """Returns how failed calls are made again."""
    return RetryPolicy(settings.work.max_attempts, settings.work.retry_base, settings.work.retry_cap)


def isolation(settings: Settings, world: Adapters, name: str) -> QuarantineRunner:
    """Builds what runs the shards that were set aside."""
    return QuarantineRunner(
        name,
        world.store,
        world.blobs,
        world.catalog,
        policy=retry_policy(settings),
        ttl=settings.work.lease_ttl,
        beat=settings.work.heartbeat,
    )


def worker(settings: Settings, world: Adapters, name: str) -> Worker:
    """Builds the role worker."""
    work, allowed = settings.work, limits(settings)
    store, blobs = world.store, world.blobs
    handlers: Mapping[TaskKind, Handler] = {
        TaskKind.VALIDATE: Validator(store, blobs, world.catalog, allowed, mixed_models=settings.limits.mixed_models),
        TaskKind.EXPIRE: store.expire,
        TaskKind.FINALIZE: Finalizer(store, blobs, default_lifetime=allowed.batch_file_lifetime),
        TaskKind.DELIVER: Deliverer(store, store, webhook_sender(settings)),
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

    policy = retry_policy(settings)

    def make_runner(may_call: Callable[[], bool], on_room: Callable[[], None]) -> Runner:
        return Runner(
            store,
            blobs,
            world.catalog,
            policy=policy,
            flush_interval=work.flush_interval,
            cancel_grace=work.cancel_grace,
            may_call=may_call,
            on_room=on_room,
        )

    return Worker(name, store, world.changes, handlers, make_runner, ttl=work.lease_ttl, beat=work.heartbeat)
