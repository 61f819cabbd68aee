"""The REST gateway as an ASGI application: finds the route, runs its handler and answers errors."""

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
from batchwire_server.gateway.errors import ApiError, from_rpc, internal
from batchwire_server.gateway.methods.call import Exchange
from batchwire_server.gateway.methods.dispatch import Handler, handler_for
from batchwire_server.gateway.methods.rpc import Rpc
from batchwire_server.gateway.openapi.document import openapi_route
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.gateway.probes import health_routes, probe_routes
from batchwire_server.gateway.routes import Routes
from batchwire_server.gateway.web.metrics import Metrics
from batchwire_server.gateway.web.middleware import Edge, Visit, visit_of
from batchwire_server.gateway.web.request_body import DisconnectedError, Inbound
from batchwire_server.gateway.web.responses import JsonResponse

_LOGGER = logging.getLogger(__name__)
_UNMATCHED = "unmatched"


def create_app(channel: grpc.aio.Channel, options: GatewayOptions) -> Starlette:
    """Return the REST gateway of the api that a channel leads to. The caller closes the channel."""
    metrics = Metrics(options.registry)
    gateway = Gateway(channel, options, DIALECTS, metrics)
    return Starlette(
        routes=[
            *health_routes(channel, options.registry),
            *probe_routes(DIALECTS),
            openapi_route(DIALECTS),
            Mount("/", app=gateway),
        ],
        middleware=[Middleware(Edge, metrics=metrics)],
    )


@dataclass(frozen=True, slots=True)
class _Endpoint:
    rpc: Rpc
    handler: Handler


class Gateway:
    """Every dialect over one channel."""

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
        inbound, visit = Inbound(receive), visit_of(scope)
        try:
            reply = await self._reply(scope, inbound, visit)
        except DisconnectedError:
            return
        except ApiError as refused:
            await self._refuse(refused, scope, inbound, send)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, visit.request_id)
            if failure.status >= 500:  # the trace would show our side of a fault that is the api's
                _LOGGER.error("request %s failed: %s %s", visit.request_id, error.code().name, error.details())  # noqa: TRY400 - so none
            await self._refuse(failure, scope, inbound, send)
        except Exception:
            _LOGGER.exception("request %s failed", visit.request_id)
            await self._refuse(internal(visit.request_id), scope, inbound, send)
        else:
            await reply(scope, receive, send)

    async def _reply(self, scope: Scope, inbound: Inbound, visit: Visit) -> ASGIApp:
        visit.route = _UNMATCHED
        route, variables = self._routes.match(scope["method"], _raw_path(scope))
        visit.route = route.template
        endpoint = self._endpoints[route.method.full_name]
        return await endpoint.handler(
            Exchange(scope, inbound, route, variables, endpoint.rpc, visit, self._options, self._metrics)
        )

    async def _refuse(self, error: ApiError, scope: Scope, inbound: Inbound, send: Send) -> None:
        """Answer with an error.

        The reply comes at once even when a body is still arriving. Closing the connection on that body would reset it, and a caller who
        sends first and reads later would see the reset instead of the reply: so some of the body is read and dropped first.
        """
        dialect = self._routes.dialect_of(_raw_path(scope))
        reply = JsonResponse(dialect.error(error), status_code=error.status, headers=error.headers)
        if inbound.interrupted:
            reply.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": reply.status_code, "headers": reply.raw_headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": inbound.interrupted})
        if inbound.interrupted:
            await inbound.drain(self._options.max_drain_bytes)
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope["raw_path"]
    return raw.decode("ascii", errors="replace")
