"""The REST gateway as an ASGI application: finds the route, runs its handler, renders errors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwire_server.gateway.dialects import DIALECTS, Dialect
from batchwire_server.gateway.errors import ApiError, from_rpc, internal_error
from batchwire_server.gateway.methods.call import Call
from batchwire_server.gateway.methods.dispatch import Handler, handler_for
from batchwire_server.gateway.methods.rpc import Rpc
from batchwire_server.gateway.openapi.document import openapi_route
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.gateway.probes import health_routes, probe_routes
from batchwire_server.gateway.routes import Routes
from batchwire_server.gateway.web.metrics import Metrics
from batchwire_server.gateway.web.middleware import RequestContext, RequestMiddleware, context_of
from batchwire_server.gateway.web.request_body import DisconnectedError, RequestBody
from batchwire_server.gateway.web.responses import JsonResponse

log = logging.getLogger(__name__)

_UNMATCHED = "unmatched"
"""The route of requests without one, in metrics."""


def create_app(channel: grpc.aio.Channel, options: GatewayOptions) -> Starlette:
    """Return the gateway of the api that a channel leads to. The caller closes the channel."""
    metrics = Metrics(options.registry)
    gateway = Gateway(channel, options, DIALECTS, metrics)
    return Starlette(
        routes=[
            *health_routes(channel, options.registry),
            *probe_routes(DIALECTS),
            openapi_route(DIALECTS),
            Mount("/", app=gateway),
        ],
        middleware=[Middleware(RequestMiddleware, metrics=metrics)],
    )


@dataclass(frozen=True, slots=True)
class _Endpoint:
    rpc: Rpc
    handler: Handler


class Gateway:
    """The protocol's methods as REST, in every dialect, over one channel."""

    def __init__(
        self, channel: grpc.aio.Channel, options: GatewayOptions, dialects: Sequence[Dialect], metrics: Metrics
    ) -> None:
        self._options = options
        self._metrics = metrics
        self._routes = Routes(dialects)
        methods = {route.method.full_name: route.method for route in self._routes.all}
        self._endpoints = {
            name: _Endpoint(Rpc.over(channel, method), handler_for(method)) for name, method in methods.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body, context = RequestBody(receive), context_of(scope)
        try:
            reply = await self._reply(scope, body, context)
        except DisconnectedError:
            return
        except ApiError as refused:
            await self._send_error(refused, scope, body, send)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, context.request_id)
            if failure.status >= 500:
                # A traceback would show the gateway's code, but the fault is the api's.
                text = "request %s failed: %s from the api at %s: %s"
                api = self._options.api
                log.error(text, context.request_id, error.code().name, api, error.details())  # noqa: TRY400 - see above
            await self._send_error(failure, scope, body, send)
        except Exception:
            log.exception("request %s failed in the gateway", context.request_id)
            await self._send_error(internal_error(context.request_id), scope, body, send)
        else:
            await reply(scope, receive, send)

    async def _reply(self, scope: Scope, body: RequestBody, context: RequestContext) -> ASGIApp:
        context.route = _UNMATCHED
        route, variables = self._routes.match(scope["method"], _raw_path(scope))
        context.route = route.template
        endpoint = self._endpoints[route.method.full_name]
        call = Call(scope, body, route, variables, endpoint.rpc, context, self._options, self._metrics)
        return await endpoint.handler(call)

    async def _send_error(self, error: ApiError, scope: Scope, body: RequestBody, send: Send) -> None:
        """Reply with an error.

        The reply is sent at once, even while a body is still arriving. Closing the connection then
        would reset it, and a caller that sends everything before it reads would see the reset
        instead of the reply. So part of the body is read and dropped before the reply ends.
        """
        dialect = self._routes.dialect_of(_raw_path(scope))
        reply = JsonResponse(dialect.render_error(error), status_code=error.status, headers=error.headers)
        if body.partly_read:
            reply.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": reply.status_code, "headers": reply.raw_headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": body.partly_read})
        if body.partly_read:
            await body.drain(self._options.max_drain_bytes)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope["raw_path"]
    return raw.decode("ascii", errors="replace")
