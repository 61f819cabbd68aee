"""Opens the adapters: database, blob store, change notifications, upstreams and webhooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import DatabaseError

from batchwire_server.adapters.blobs.local import LocalBlobs
from batchwire_server.adapters.drivers import open_object_blobs
from batchwire_server.adapters.sql import Channel, Database, SqlStore
from batchwire_server.adapters.sql.migrate import Migrations, SchemaError, migrate
from batchwire_server.adapters.upstreams.echo import EchoUpstream
from batchwire_server.adapters.upstreams.openai_http import HttpUpstream
from batchwire_server.adapters.webhooks import HttpWebhooks
from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.errors import BlobNotFoundError, OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.ports import BlobStore, ChangeFeed, GarbageStore, WebhookSender
from batchwire_server.roles.errors import DataDirError, UnusableDatabaseError
from batchwire_server.settings import ECHO, Settings, UpstreamSettings, proxy_variable, secret

log = logging.getLogger(__name__)

SAMPLE_FILES = 5
"""Number of files whose blobs are looked for at the start."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The open adapters."""

    store: SqlStore
    blobs: BlobStore
    changes: ChangeFeed
    catalog: Catalog
    webhooks: WebhookSender


def create_data_dir(path: Path) -> None:
    """Create the data directory unless it exists. Raises DataDirError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)  # for this user alone: it will hold prompts and answers
    except OSError as error:
        raise DataDirError(f"cannot create the data directory {path}: {error.strerror}") from error


@asynccontextmanager
async def connect_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database, whatever its schema.

    Raises UnusableDatabaseError, also for what the body of the `async with` finds.
    """
    database = Database(settings.database_url)
    try:
        yield database
    except SchemaError as error:
        raise UnusableDatabaseError(str(error)) from error
    except DatabaseError as error:
        raise UnusableDatabaseError(f"database {database.place} cannot be used: {error.orig}") from error
    finally:
        await database.close()


@asynccontextmanager
async def open_database(settings: Settings, migrations: Migrations) -> AsyncIterator[Database]:
    """Open the database, and make sure that this release can run on its schema.

    Args:
        settings: all settings.
        migrations: which migrations may be applied for that.

    Raises:
        UnusableDatabaseError: this release cannot run on the schema, or the body of the
            `async with` found that the database cannot be used.
    """
    create_data_dir(settings.data_dir)
    async with connect_database(settings) as database:
        await migrate(database, migrations)
        yield database


async def require_known_blobs(rows: GarbageStore, blobs: BlobStore) -> None:
    """Check that the blob store is the one that the database refers to.

    Raises OutOfReachError if none of the newest files has its blob: the store is misconfigured or
    not mounted, and every batch would fail as if its input were lost.
    """
    keys = await rows.newest_needed(SAMPLE_FILES)
    reads = await asyncio.gather(*(blobs.read(key, 0, 1) for key in keys), return_exceptions=True)
    if not keys or any(isinstance(read, bytes) for read in reads):
        return
    for error in reads:
        if isinstance(error, BaseException) and not isinstance(error, BlobNotFoundError):
            raise error
    advice = "check --blobs, and that the directory is mounted"
    raise OutOfReachError(Component.BLOBS, f"the database refers to {keys[0]}, which does not exist: {advice}")


@asynccontextmanager
async def open_blobs(settings: Settings, rows: GarbageStore) -> AsyncIterator[BlobStore]:
    """Open the directory or the object store that holds the blobs. Raises OutOfReachError."""
    if not settings.blob_url:
        await require_known_blobs(rows, LocalBlobs(settings.blob_dir))
        yield LocalBlobs.make(settings.blob_dir)
        return
    blobs = open_object_blobs(settings.blob_url)
    try:
        await blobs.reach()
        await require_known_blobs(rows, blobs)
        yield blobs
    finally:
        await blobs.close()


def _http_upstream(settings: UpstreamSettings) -> HttpUpstream:
    name = settings.name or urlsplit(settings.base_url).netloc or settings.base_url
    if settings.proxy:
        address = urlsplit(settings.proxy).netloc.rpartition("@")[2]  # without user and password
        log.info("upstream %s is called through the proxy %s", name, address)
    elif variable := proxy_variable(settings.base_url):
        log.info("upstream %s is called through the proxy of %s, unless NO_PROXY exempts it", name, variable)
    return HttpUpstream(name, settings.base_url, secret(settings.api_key_env), settings.timeout, settings.proxy)


@asynccontextmanager
async def open_adapters(
    settings: Settings, migrations: Migrations, channel: Channel = Channel.CHANGES
) -> AsyncIterator[Adapters]:
    """Open all adapters.

    Args:
        settings: all settings.
        migrations: which migrations of the database may be applied.
        channel: whose commits the change feed reports.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings, migrations))
        store = SqlStore(database)
        blobs = await stack.enter_async_context(open_blobs(settings, store))
        changes = await stack.enter_async_context(database.open_changes(channel))
        routes = []
        for server in settings.all_upstreams:
            upstream = EchoUpstream() if server.base_url == ECHO else _http_upstream(server)
            stack.push_async_callback(upstream.close)
            bounds = (server.max_concurrency, server.requests_per_minute, server.tokens_per_minute)
            routes.append(Route(upstream, server.models, *bounds))
        webhooks = HttpWebhooks(settings.work.delivery_timeout, private=settings.limits.private_webhooks)
        yield Adapters(store, blobs, changes, Catalog(routes), webhooks)
