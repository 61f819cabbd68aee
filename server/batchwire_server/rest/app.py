"""The gateway's entry point."""

import grpc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from .dialects import DIALECTS
from .edge import Edge
from .gateway import Gateway
from .health import health_routes
from .metrics import Metrics
from .options import GatewayOptions


def create_app(channel: grpc.aio.Channel, options: GatewayOptions) -> Starlette:
    """The REST face of the api that a channel leads to. The channel stays the caller's to close."""
    metrics = Metrics(options.registry)
    gateway = Gateway(channel, options, DIALECTS, metrics)
    return Starlette(
        routes=[*health_routes(channel, options.registry), Mount("/", app=gateway)],
        middleware=[Middleware(Edge, metrics=metrics)],
    )
