"""Run the two bare upload servers until standard input ends. Prints their addresses."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvloop

from bench.baselines import multipart_baseline, serve_grpc_baseline


async def main() -> None:
    """Serve uploads over gRPC and HTTP into the folder of the command line."""
    folder = Path(sys.argv[1])
    server, grpc_address = await serve_grpc_baseline(folder)
    listening = socket.create_server(("127.0.0.1", 0))
    rest = multipart_baseline(folder)
    serving = asyncio.create_task(rest.serve(sockets=[listening]))
    print(grpc_address, f"127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    rest.should_exit = True
    await serving
    await server.stop(None)


uvloop.run(main())
