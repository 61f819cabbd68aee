"""Authenticates each RPC, maps errors to gRPC statuses, and hides the detail of unexpected ones."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
from grpc import aio

from batchwire_server.api.auth import Context, act_for, key_of, trusted_tenant
from batchwire_server.api.errors import CODES, COMPONENT_KEY, DETAILS_KEY, status_details
from batchwire_server.api.sanitize import checked, checked_stream
from batchwire_server.core.errors import BatchwireError, OutOfReachError
from batchwire_server.core.trusted_header import TrustedHeader
from batchwire_server.service.api_keys import ApiKeyAuthenticator

log = logging.getLogger(__name__)

READMIT_S = 5.0
"""Seconds after which a streaming RPC is authenticated again, before its next message."""


@asynccontextmanager
async def translated(context: Context, method: str) -> AsyncIterator[None]:
    """Abort the RPC with the status of an error that the body raises.

    Unexpected exceptions are logged, and become INTERNAL without their message.
    """
    try:
        yield
    except BatchwireError as error:
        trailing = ((DETAILS_KEY, status_details(error)),)
        await context.abort(CODES[error.reason], error.message, trailing)
    except OutOfReachError as error:
        log.warning("%s answered UNAVAILABLE: %s", method, error)
        message = f"The server's {error.component} cannot be used at the moment. Please try again later."
        await context.abort(grpc.StatusCode.UNAVAILABLE, message, ((COMPONENT_KEY, str(error.component)),))
    except aio.AbortError:
        raise
    except Exception:
        metadata = dict(context.invocation_metadata() or ())
        request_id = metadata.get("x-request-id") or f"req_{secrets.token_hex(16)}"
        log.exception("%s failed unexpectedly, request %s", method, request_id)
        await context.abort(
            grpc.StatusCode.INTERNAL,
            f"Internal error. The server's log has the details under request id {request_id!r}.",
        )


class CallInterceptor(aio.ServerInterceptor):
    """Authenticates each RPC, checks the text of its requests, and maps what its handler raises.

    Args:
        authenticator: finds the tenant of an API key.
        trusted_header: finds the tenant that a trusted proxy names.
        readmit_s: seconds after which a streaming RPC is authenticated again.
    """

    def __init__(
        self, authenticator: ApiKeyAuthenticator, trusted_header: TrustedHeader, readmit_s: float = READMIT_S
    ) -> None:
        self._authenticator = authenticator
        self._trusted_header = trusted_header
        self._readmit_s = readmit_s

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of an RPC. See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/batchwire."):
            return handler  # health and reflection need no key and raise their own statuses
        wrap = self._wrap_stream if handler.response_streaming else self._wrap_unary
        names = {True: "stream", False: "unary"}
        kind = f"{names[handler.request_streaming]}_{names[handler.response_streaming]}"
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        behaviour = wrap(getattr(handler, kind), method, checked_stream if handler.request_streaming else checked)
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            behaviour, handler.request_deserializer, handler.response_serializer
        )
        return wrapped

    async def _admit(self, context: Context) -> None:
        """Set the tenant of a call.

        Raises BatchwireError if its credentials are missing or wrong.
        """
        act_for(trusted_tenant(context, self._trusted_header) or await self._authenticator.tenant(key_of(context)))

    def _wrap_unary(
        self, behaviour: Callable[[Any, Context], Awaitable[Any]], method: str, check: Callable[[Any], Any]
    ) -> Any:
        async def call(request: Any, context: Context) -> Any:
            async with translated(context, method):
                await self._admit(context)
                return await behaviour(check(request), context)

        return call

    def _wrap_stream(
        self, behaviour: Callable[[Any, Context], AsyncGenerator[Any, None]], method: str, check: Callable[[Any], Any]
    ) -> Any:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            async with translated(context, method):
                await self._admit(context)
                admitted = time.monotonic()
                async with aclosing(behaviour(check(request), context)) as messages:
                    async for message in messages:
                        if time.monotonic() - admitted > self._readmit_s:
                            await self._admit(context)
                            admitted = time.monotonic()
                        yield message

        return call
