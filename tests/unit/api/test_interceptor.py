"""The interceptor: streams whose key is revoked, and errors without detail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from batchwire import v1
from batchwire_server.adapters.sql import Database, SqlStore
from batchwire_server.adapters.sql.migrate import migrate
from batchwire_server.api.interceptor import CallInterceptor
from batchwire_server.core.errors import OutOfReachError
from batchwire_server.core.health import Component
from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.service.api_keys import ApiKeyAuthenticator, ApiKeys


class Snapshots(asyncio.Queue[v1.Batch | Exception]):
    """The messages that a watch sends, or errors that it raises; `closed` is set at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()


@asynccontextmanager
async def serving(folder: Path, readmit_s: float) -> AsyncIterator[tuple[Snapshots, ApiKeys, str]]:
    """Run a server with the RPC WatchBatch; yield its messages, its API keys and its address."""
    database = Database(f"sqlite+aiosqlite:///{folder / 'test.db'}")
    await migrate(database)
    store, snapshots = SqlStore(database), Snapshots()

    async def watch_batch(_request: v1.WatchBatchRequest, _context: Any) -> AsyncIterator[v1.Batch]:
        try:
            while True:
                snapshot = await snapshots.get()
                if isinstance(snapshot, Exception):
                    raise snapshot
                yield snapshot
        finally:
            snapshots.closed.set()

    handler = grpc.unary_stream_rpc_method_handler(
        watch_batch, v1.WatchBatchRequest.FromString, v1.Batch.SerializeToString
    )
    authenticator = ApiKeyAuthenticator(store, open_without_keys=True)
    server = grpc.aio.server(interceptors=[CallInterceptor(authenticator, TrustedHeader(), readmit_s)])
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("batchwire.v1.BatchService", {"WatchBatch": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield snapshots, ApiKeys(store), f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
        await database.close()


def watch(channel: grpc.aio.Channel, key: str) -> Any:
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    return v1.BatchServiceStub(channel).WatchBatch(v1.WatchBatchRequest(batch_id="b"), metadata=metadata)


@pytest.mark.parametrize("opened", ["with a key", "before there were keys"])
async def test_a_stream_ends_after_its_credentials_become_invalid(tmp_path: Path, opened: str) -> None:
    async with serving(tmp_path, 0.0) as (snapshots, keys, target), grpc.aio.insecure_channel(target) as channel:
        record, key = await keys.create("red", "") if opened == "with a key" else (None, "")
        call = watch(channel, key)
        await snapshots.put(v1.Batch(id="first"))
        assert (await call.read()).id == "first"
        if record:
            await keys.revoke(record.id)
        else:
            await keys.create("red", "")
        await snapshots.put(v1.Batch(id="secret"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await snapshots.closed.wait()


async def test_a_stream_is_not_authenticated_again_with_every_message(tmp_path: Path) -> None:
    async with serving(tmp_path, 3600.0) as (snapshots, keys, target), grpc.aio.insecure_channel(target) as channel:
        record, key = await keys.create("red", "")
        call = watch(channel, key)
        await snapshots.put(v1.Batch(id="first"))
        assert (await call.read()).id == "first"
        await keys.revoke(record.id)
        await snapshots.put(v1.Batch(id="second"))
        assert (await call.read()).id == "second"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            OutOfReachError(Component.DATABASE, "secret host refused"),
            grpc.StatusCode.UNAVAILABLE,
            "database cannot be used",
        ),
        (ValueError("secret"), grpc.StatusCode.INTERNAL, "Internal error"),
    ],
)
async def test_unexpected_errors_are_reported_without_detail(
    tmp_path: Path, error: Exception, code: grpc.StatusCode, words: str
) -> None:
    async with serving(tmp_path, 60.0) as (snapshots, _, address), grpc.aio.insecure_channel(address) as channel:
        await snapshots.put(error)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await watch(channel, "").read()
        assert failed.value.code() is code
        assert words in str(failed.value.details())
        assert "secret" not in str(failed.value.details())
