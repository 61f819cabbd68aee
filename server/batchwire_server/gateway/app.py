"""The gateway's entry point."""

from __future__ import annotations

import grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from batchwire_server.gateway.dialects import DIALECTS
from batchwire_server.gateway.gateway import Gateway
from batchwire_server.gateway.openapi.document import openapi_route
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.gateway.probes import health_routes, probe_routes
from batchwire_server.gateway.web.metrics import Metrics
from batchwire_server.gateway.web.middleware import Edge


def create_app(channel: grpc.aio.Channel, options: GatewayOptions) -> Starlette:
    """The REST face of the api that a channel leads to. The channel stays the caller's to close."""
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
