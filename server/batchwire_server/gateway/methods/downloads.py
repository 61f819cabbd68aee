"""Methods that stream a file's content: first a File, then its bytes. Whole, in part, or the headers alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from batchwire import v1
from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import refusal
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.methods.streams import Streamed, opened
from batchwire_server.gateway.web.ranges import (
    RangeNotSatisfiableError,
    Selection,
    attachment,
    is_conditional,
    select,
    whole,
)


async def download(exchange: Exchange) -> ASGIApp:
    """Answer with the content.

    What depends on the size, as "the last 500 bytes" does, needs the File before the bytes. A File never changes, so asking twice is safe.
    """
    if not (exchange.is_head or is_conditional(exchange.headers)):
        call, first, rest = await opened(exchange, _request(exchange))
        return Streamed(exchange, call, _content(rest), _headers(exchange, first.file, whole(first.file.bytes)))
    file = await _describe(exchange)
    part = _select(exchange, file)
    if exchange.is_head or not part.length:
        return Response(status_code=part.status, headers=_headers(exchange, file, part))
    call, _, rest = await opened(exchange, _request(exchange, offset=part.start, limit=part.length))
    return Streamed(exchange, call, _content(rest), _headers(exchange, file, part), status=part.status)


def _request(exchange: Exchange, **part: int) -> Message:
    """The request for a part. The query is not asked: `offset` and `limit` are gRPC's way to say what Range says."""
    request = exchange.request()
    request.MergeFrom(exchange.rpc.request(**part))
    return request


async def _describe(exchange: Exchange) -> v1.File:
    call, first, _ = await opened(exchange, _request(exchange, limit=0))
    call.cancel()
    file: v1.File = first.file
    return file


def _select(exchange: Exchange, file: v1.File) -> Selection:
    try:
        return select(exchange.headers, file.bytes, _etag(file), ranged=not exchange.is_head)
    except RangeNotSatisfiableError:
        text = f"The requested range starts beyond the end of the content, which has {file.bytes} bytes."
        metadata = {"bytes": str(file.bytes)}
        raise refusal(v1.ERROR_REASON_RANGE_NOT_SATISFIABLE, text, metadata=metadata) from None


async def _content(rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for message in rest:
        yield message.data


def _etag(file: v1.File) -> str:
    return f'"{file.sha256}"'


def _headers(exchange: Exchange, file: v1.File, selection: Selection) -> dict[str, str]:
    headers = {"etag": _etag(file), "accept-ranges": "bytes"}
    if selection.status == 304:
        return headers
    if selection.status == 206:
        last = selection.start + selection.length - 1
        headers["content-range"] = f"bytes {selection.start}-{last}/{file.bytes}"
    return headers | {
        "content-type": exchange.route.dialect.content_type,
        "content-disposition": attachment(file.filename),
        "content-length": str(selection.length),
    }
