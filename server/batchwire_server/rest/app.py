"""The gateway's entry point."""

import grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from batchwire_server.rest.dialects import DIALECTS
from batchwire_server.rest.edge import Edge
from batchwire_server.rest.gateway import Gateway
from batchwire_server.rest.health import health_routes, probe_routes
from batchwire_server.rest.metrics import Metrics
from batchwire_server.rest.openapi import openapi_route
from batchwire_server.rest.options import GatewayOptions


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
