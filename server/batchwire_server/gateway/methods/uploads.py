"""Handle methods that take a stream of bytes: a multipart form in, JSON out.

Content is never stored here: the gateway reads from the caller only as fast as the RPC accepts
messages. The RPC is half-closed, which commits the upload, only when the whole form has arrived. In
every other case it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import grpc
from google.protobuf.message import Message
from starlette.types import ASGIApp

from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.call import Call
from batchwire_server.gateway.transcoding.forms import FormRelay
from batchwire_server.gateway.web.multipart import MalformedFormError, MultipartReader, NotAFormError, boundary_of
from batchwire_server.gateway.web.responses import JsonResponse

_LOCAL_DETAILS = "Internal error from Core"
_STATUS_TIMEOUT_S = 1.0


class _RpcEndedError(Exception):
    """The RPC ended before the form did. Its status says why."""


async def upload(call: Call) -> ASGIApp:
    """Reply with the method's result, at once if the RPC ends before the form does."""
    rpc_call = call.start()
    status = UploadStatus(rpc_call)
    result = asyncio.ensure_future(rpc_call)
    sending = asyncio.create_task(_send(call, rpc_call))
    try:
        await asyncio.wait({result, sending}, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            with contextlib.suppress(_RpcEndedError):
                await sending
            await call.request_body.while_connected(result)
        reply = result.result()
    except grpc.aio.AioRpcError as error:
        raise await status.resolve(error) from None
    finally:
        rpc_call.cancel()
        sending.cancel()
        await asyncio.gather(result, sending, return_exceptions=True)
    return JsonResponse(call.render(reply))


async def _send(call: Call, rpc_call: Any) -> None:
    async def write(message: Message) -> None:
        try:
            await rpc_call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise _RpcEndedError from None

    relay = FormRelay(call.request(), write, call.new_message)
    try:
        await relay.start()
        reader = MultipartReader(boundary_of(call.headers.get("content-type", "")))
        async for chunk in call.request_body.chunks():
            for event in reader.feed(chunk):
                await relay.handle(event)
    except NotAFormError:
        raise relay.missing_content() from None
    except MalformedFormError as error:
        raise ApiError(400, str(error)) from None
    finally:
        call.metrics.uploaded.inc(relay.content_bytes)
    if reader.empty:
        raise relay.missing_content()
    if not reader.complete:
        raise ApiError(400, "The multipart form ends before its last boundary.")
    await relay.finish()
    await rpc_call.done_writing()


class UploadStatus:
    """The status that the server sent for a client-streaming call.

    If a server ends a call while the client is writing, the write fails, and grpc.aio reports an
    INTERNAL of its own before or after the server's status
    (https://github.com/grpc/grpc/issues/36066). Without this class, a refusal would look like a
    fault of the server.
    """

    def __init__(self, rpc_call: grpc.aio.Call) -> None:
        self._error: grpc.aio.AioRpcError | None = None
        self._known = asyncio.Event()
        rpc_call.add_done_callback(self._record)

    async def resolve(self, raised: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """Return the server's status in place of the error that the call raised.

        If the server sent none within a second, return the raised error.
        """
        if raised.details() == _LOCAL_DETAILS:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._known.wait(), _STATUS_TIMEOUT_S)
        return self._error or raised

    def _record(self, rpc_call: Any) -> None:
        """Record the call's status unless it is grpc.aio's own. Called for each status in turn."""
        code, details = _result(rpc_call.code()), _result(rpc_call.details())
        if self._error is None and code is not grpc.StatusCode.OK and details != _LOCAL_DETAILS:
            initial, trailing = _result(rpc_call.initial_metadata()), _result(rpc_call.trailing_metadata())
            self._error = grpc.aio.AioRpcError(code, initial, trailing, details)
            self._known.set()


def _result(ready: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that does not wait: a call that is done knows its status."""
    try:
        ready.send(None)
    except StopIteration as result:
        return result.value
    ready.close()
    raise RuntimeError("a call that reported its end has no status yet")
