"""Reading of request bodies from ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from batchwire_server.gateway.web.request_body import BodyTooLargeError, DisconnectedError, RequestBody
from starlette.types import Receive

LEAVES = {"type": "http.disconnect"}


def chunk(data: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


def receiving(messages: Iterable[dict[str, Any]]) -> Receive:
    """Return an ASGI receive of some messages, which then waits forever."""
    queue = list(messages)

    async def receive() -> dict[str, Any]:
        return queue.pop(0) if queue else await asyncio.Future()

    return receive


async def test_body_is_read_to_its_end() -> None:
    body = RequestBody(receiving([chunk(b"ab"), chunk(b"c", more=False)]))
    assert not body.partly_read
    assert await body.read(3) == b"abc"
    assert not body.partly_read
    assert [each async for each in body.chunks()] == []


async def test_body_over_the_limit_is_refused() -> None:
    body = RequestBody(receiving([chunk(b"ab"), chunk(b"c")]))
    with pytest.raises(BodyTooLargeError):
        await body.read(2)
    assert body.partly_read


async def test_drain_stops_at_the_end_or_at_the_limit() -> None:
    ending = RequestBody(receiving([chunk(b"ab"), chunk(b"c", more=False)]))
    await ending.drain(100)
    assert not ending.partly_read
    endless = RequestBody(receiving([chunk(b"ab"), chunk(b"cd")]))
    await endless.drain(3)
    assert endless.partly_read
    left = RequestBody(receiving([chunk(b"ab"), LEAVES]))
    await left.drain(100)


async def test_disconnect_during_the_body_is_an_error() -> None:
    body = RequestBody(receiving([chunk(b"ab"), LEAVES]))
    with pytest.raises(DisconnectedError):
        await body.read(100)


async def test_work_is_done_while_the_rest_of_the_body_is_dropped() -> None:
    dropped = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if dropped.is_set():
            await asyncio.Future()
        dropped.set()
        return chunk(b"ab", more=False)

    async def work() -> str:
        await dropped.wait()
        return "done"

    assert await RequestBody(receive).while_connected(work()) == "done"


async def test_disconnect_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Future()
        finally:
            cancelled.set()

    with pytest.raises(DisconnectedError):
        await RequestBody(receiving([LEAVES])).while_connected(work())
    assert cancelled.is_set()
