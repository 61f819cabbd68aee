"""Server-sent events and JSON Lines over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from batchwire import v1

from tests.unit.gateway.conftest import RunningGateway, eventually
from tests.unit.gateway.fake_api import Failure


async def events_of(reply: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    name = ""
    async for line in reply.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value if name == "done" else json.loads(value)


@pytest.fixture(autouse=True)
def _batch(gateway: RunningGateway) -> None:
    gateway.api.batches["b"] = v1.Batch(id="b", status=v1.BATCH_STATUS_IN_PROGRESS)


async def test_watched_batch_is_sent_as_events_until_done(gateway: RunningGateway) -> None:
    await gateway.api.snapshots.put(v1.Batch(id="b", status=v1.BATCH_STATUS_IN_PROGRESS))
    async with gateway.http.stream("GET", "/v1/batches/b/events") as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["cache-control"] == "no-store"
        events = events_of(reply)
        name, batch = await anext(events)
        assert (name, batch["object"], batch["status"]) == ("batch", "batch", "in_progress")
        await gateway.api.snapshots.put(v1.Batch(id="b", status=v1.BATCH_STATUS_COMPLETED))
        assert (await anext(events))[1]["status"] == "completed"
        await gateway.api.snapshots.put(None)
        assert [event async for event in events] == [("done", "[DONE]")]


async def test_failed_watch_ends_with_an_error_event(gateway: RunningGateway) -> None:
    await gateway.api.snapshots.put(v1.Batch(id="b"))
    await gateway.api.snapshots.put(Failure(grpc.StatusCode.UNAVAILABLE, "draining"))
    async with gateway.http.stream("GET", "/v1/batches/b/events") as reply:
        events = [event async for event in events_of(reply)]
    assert [name for name, _ in events] == ["batch", "error"]
    assert events[-1][1]["error"]["type"] == "server_error"


async def test_unknown_batch_is_a_404(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/v1/batches/nothing/events")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, None)


@pytest.mark.parametrize(("path", "method"), [("events", "WatchBatch"), ("results", "StreamResults")])
async def test_disconnected_caller_cancels_the_stream(gateway: RunningGateway, path: str, method: str) -> None:
    await gateway.api.snapshots.put(v1.Batch(id="b"))
    await gateway.api.lines.put(b"{}\n")
    async with gateway.http.stream("GET", f"/v1/batches/b/{path}") as reply:
        await anext(reply.aiter_raw())
    await eventually(lambda: gateway.api.cancelled == [method])


async def test_disconnect_before_the_first_message_cancels_the_stream(gateway: RunningGateway) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await gateway.http.get("/v1/batches/b/results", timeout=httpx.Timeout(30, read=0.2))
    await eventually(lambda: gateway.api.cancelled == ["StreamResults"])


async def test_results_are_sent_as_they_arrive(gateway: RunningGateway) -> None:
    await gateway.api.lines.put(b'{"n":1}\n{"n":2}\n')
    async with gateway.http.stream("GET", "/v1/batches/b/results?offset=7") as reply:
        assert reply.headers["content-type"] == "application/jsonl"
        lines = reply.aiter_lines()
        assert [await anext(lines), await anext(lines)] == ['{"n":1}', '{"n":2}']
        await gateway.api.lines.put(b'{"n":3}\n')
        assert await anext(lines) == '{"n":3}'
        await gateway.api.lines.put(None)
        assert [line async for line in lines] == []
    assert gateway.api.requests[-1] == v1.StreamResultsRequest(batch_id="b", offset=7)


async def test_batch_without_results_has_an_empty_body(gateway: RunningGateway) -> None:
    await gateway.api.lines.put(None)
    reply = await gateway.http.get("/v1/batches/b/results")
    assert (reply.status_code, reply.content) == (200, b"")


async def test_failed_results_break_the_connection(gateway: RunningGateway) -> None:
    await gateway.api.lines.put(b"{}\n")
    await gateway.api.lines.put(Failure(grpc.StatusCode.UNAVAILABLE, "draining"))
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.http.get("/v1/batches/b/results")


async def test_head_cancels_the_stream(gateway: RunningGateway) -> None:
    await gateway.api.snapshots.put(v1.Batch(id="b"))
    reply = await asyncio.wait_for(gateway.http.head("/v1/batches/b/events"), 30)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream")
    await eventually(lambda: gateway.api.cancelled == ["WatchBatch"])
