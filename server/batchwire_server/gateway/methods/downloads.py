"""Handle methods that stream a file: first its File message, then its bytes.

The reply has the whole content, a range of it, or the headers alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from batchwire import v1
from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import refusal
from batchwire_server.gateway.methods.call import Call
from batchwire_server.gateway.methods.streams import StreamResponse, open_stream
from batchwire_server.gateway.web.ranges import (
    RangeNotSatisfiableError,
    Selection,
    attachment,
    is_conditional,
    select,
    whole,
)


async def download(call: Call) -> ASGIApp:
    """Reply with the content.

    A range such as "the last 500 bytes" depends on the size, so it needs the File before the bytes:
    two RPCs. That is safe, because a File never changes.
    """
    if not (call.is_head or is_conditional(call.headers)):
        rpc_call, first, rest = await open_stream(call, _request(call))
        return StreamResponse(call, rpc_call, _content(rest), _headers(call, first.file, whole(first.file.bytes)))
    file = await _describe(call)
    part = _select(call, file)
    if call.is_head or not part.length:
        return Response(status_code=part.status, headers=_headers(call, file, part))
    rpc_call, _, rest = await open_stream(call, _request(call, offset=part.start, limit=part.length))
    return StreamResponse(call, rpc_call, _content(rest), _headers(call, file, part), status=part.status)


def _request(call: Call, **part: int) -> Message:
    """Return the request for a part.

    The query is ignored, because the fields `offset` and `limit` stand for the header Range.
    """
    request = call.request()
    request.MergeFrom(call.rpc.request(**part))
    return request


async def _describe(call: Call) -> v1.File:
    rpc_call, first, _ = await open_stream(call, _request(call, limit=0))
    rpc_call.cancel()
    file: v1.File = first.file
    return file


def _select(call: Call, file: v1.File) -> Selection:
    try:
        return select(call.headers, file.bytes, _etag(file), ranged=not call.is_head)
    except RangeNotSatisfiableError:
        text = f"The requested range starts beyond the end of the content, which has {file.bytes} bytes."
        metadata = {"bytes": str(file.bytes)}
        raise refusal(v1.ERROR_REASON_RANGE_NOT_SATISFIABLE, text, metadata=metadata) from None


async def _content(rest: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for message in rest:
        yield message.data


def _etag(file: v1.File) -> str:
    return f'"{file.sha256}"'


def _headers(call: Call, file: v1.File, selection: Selection) -> dict[str, str]:
    headers = {"etag": _etag(file), "accept-ranges": "bytes"}
    if selection.status == 304:
        return headers
    if selection.status == 206:
        last = selection.start + selection.length - 1
        headers["content-range"] = f"bytes {selection.start}-{last}/{file.bytes}"
    return headers | {
        "content-type": call.route.dialect.file_content_type,
        "content-disposition": attachment(file.filename),
        "content-length": str(selection.length),
    }
