"""Baselines: the same work with the same libraries, without a service around it."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from typing import Any

import grpc
import msgspec
import uvicorn
from batchwire import v1
from pyreqwest.client import ClientBuilder
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CONCURRENCY = 64
CHUNK = 512 * 1024


async def bare_loop(path: Path, base_url: str, concurrency: int = CONCURRENCY) -> float:
    """Read requests from a file, post each, append each response to a file.

    Return lines per second.
    """
    client = ClientBuilder().http1_only().tcp_nodelay(enabled=True).build()
    url = f"{base_url}/chat/completions"

    class Line(msgspec.Struct):
        custom_id: msgspec.Raw
        body: msgspec.Raw

    decode = msgspec.json.Decoder(Line).decode
    started = time.perf_counter()
    done = 0
    with path.open("rb") as source, tempfile.TemporaryFile() as target:
        lines = iter(source)

        async def slot() -> None:
            nonlocal done
            for text in lines:
                line = decode(text)
                request = client.post(url).header("content-type", "application/json").body_bytes(bytes(line.body))
                response = await request.build().send()
                target.write(bytes(line.custom_id) + bytes(await response.bytes()) + b"\n")
                done += 1

        await asyncio.gather(*(slot() for _ in range(concurrency)))
        target.flush()
        os.fsync(target.fileno())
    elapsed = time.perf_counter() - started
    await client.close()
    return done / elapsed


def _new_file(folder: Path) -> FileIO:
    """Open a new file. It is kept, as a server keeps it: reused page cache would be faster."""
    return FileIO(folder / secrets.token_hex(8), "xb")


async def send_grpc(target: str, path: Path, size: int) -> float:
    """Upload a file of `size` bytes over gRPC. Return the duration in seconds."""
    started = time.perf_counter()
    async with grpc.aio.insecure_channel(target) as channel:

        async def messages() -> AsyncIterator[v1.UploadFileRequest]:
            yield v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in.jsonl", purpose="batch"))
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield v1.UploadFileRequest(data=chunk)

        reply = await v1.FileServiceStub(channel).UploadFile(messages())
    assert reply.bytes == size
    return time.perf_counter() - started


async def serve_grpc_baseline(folder: Path) -> tuple[grpc.aio.Server, str]:
    """Start a bare gRPC upload server, which writes into a folder. Return it and its address."""

    async def baseline(requests: AsyncIterator[v1.UploadFileRequest], _context: Any) -> v1.File:
        size = 0
        with _new_file(folder) as file:
            async for message in requests:
                size += file.write(message.data)
            os.fsync(file.fileno())
        return v1.File(bytes=size)

    server = grpc.aio.server()
    method = grpc.stream_unary_rpc_method_handler(baseline, v1.UploadFileRequest.FromString, v1.File.SerializeToString)
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("batchwire.v1.FileService", {"UploadFile": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def multipart_baseline(folder: Path) -> uvicorn.Server:
    """Return a bare server of multipart uploads, which writes into a folder, not started yet."""

    async def baseline(request: Request) -> JSONResponse:
        boundary = parse_options_header(request.headers["content-type"])[1][b"boundary"]
        with _new_file(folder) as file:

            def on_part_data(data: bytes, start: int, end: int) -> None:
                file.write(data[start:end])

            parser = MultipartParser(boundary, {"on_part_data": on_part_data})
            async for block in request.stream():
                parser.write(block)
            parser.finalize()
            os.fsync(file.fileno())
        return JSONResponse({})

    app = Starlette(routes=[Route("/v1/files", baseline, methods=["POST"])])
    return uvicorn.Server(uvicorn.Config(app, http="httptools", lifespan="off", log_config=None))
