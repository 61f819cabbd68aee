"""How a client-streaming call ended, in the server's own words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import grpc

_MASK = "Internal error from Core"
_PATIENCE_SECONDS = 1.0


class Outcome:
    """Remembers the status that the server sent.

    When a server ends a call while a message to it is being written, that write fails, and grpc.aio puts an INTERNAL of its own over the
    server's status, before or after it came (https://github.com/grpc/grpc/issues/36066). A refusal would look like a fault.
    """

    def __init__(self, call: grpc.aio.Call) -> None:
        self._error: grpc.aio.AioRpcError | None = None
        self._told = asyncio.Event()
        call.add_done_callback(self._note)

    async def told(self, seen: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        """What the server said, given what the call raised; the latter when the server said nothing."""
        if seen.details() == _MASK:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _PATIENCE_SECONDS)
        return self._error or seen

    def _note(self, call: Any) -> None:
        """Called with each status that the call is given, while it has it."""
        code, details = _at_once(call.code()), _at_once(call.details())
        if self._error is None and code is not grpc.StatusCode.OK and details != _MASK:
            initial, trailing = _at_once(call.initial_metadata()), _at_once(call.trailing_metadata())
            self._error = grpc.aio.AioRpcError(code, initial, trailing, details)
            self._told.set()


def _at_once(ready: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for: a call that is done knows its status."""
    try:
        ready.send(None)
    except StopIteration as result:
        return result.value
    ready.close()
    raise RuntimeError("the call is not done")
