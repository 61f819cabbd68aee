"""A real object store: rclone serves a folder over S3, behind a proxy that injects failures.

The proxy also answers range requests with 206, as S3 does and clients require. rclone answers 200,
with the right bytes and `Content-Range`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import httpx
import obstore.store
import uvicorn
from batchwire_server.adapters.blobs.object_store import open_store
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.support.folders import files_below
from tests.support.server import wait_until

RCLONE = Path(sysconfig.get_path("scripts")) / "rclone"
KEY, SECRET = "batchwire-tests", "a-secret-of-tests"
BUCKET = "batchwire"


class ObjectStore:
    """A running object store. Changes of its attributes take effect with the next request.

    Attributes:
        fail_with: status of all responses; 0 means that requests are served.
        fail_only: text in the path or query of the requests to fail.
        hold: while True, requests get no response.
        failures, held: number of failed and held requests since `serve_again`.
        endpoint: base URL of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.endpoint = ""
        self.serve_again()

    def serve_again(self) -> None:
        """Serve all requests again, and reset the counters."""
        self.fail_with, self.fail_only, self.hold = 0, "", False
        self.failures = self.held = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables for clients of the store."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    @staticmethod
    def url(prefix: str = "") -> str:
        """Return the value of the setting `blobs` for the store, or for a prefix of it."""
        return f"s3://{BUCKET}/{prefix}"

    def files(self, prefix: str = "") -> list[str]:
        """Return the paths of all files below a prefix, including parts of unfinished uploads."""
        return files_below(self._folder / BUCKET / prefix)


def url_below(store: ObjectStore, prefix: str) -> str:
    """Return the URL of a prefix of a store, with endpoint and credentials."""
    known = {
        "endpoint": store.endpoint,
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": "us-east-1",
    }
    return f"{store.url(prefix)}?{urlencode(known)}"


def store_below(store: ObjectStore, prefix: str) -> obstore.store.ObjectStore:
    """Open a prefix of a store."""
    return open_store(url_below(store, prefix))


class _FailingProxy:
    """Forwards requests to rclone unless they are to fail."""

    def __init__(self, store: ObjectStore, behind: str, client: httpx.AsyncClient) -> None:
        self._store = store
        self._behind = behind
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._store.held += self._store.hold
        while self._store.hold:  # noqa: ASYNC110 - another thread clears it
            await asyncio.sleep(0.05)
        if self._store.fail_with and self._store.fail_only in str(request.url):
            self._store.failures += 1
            await Response(status_code=self._store.fail_with)(scope, receive, send)
            return
        url = httpx.URL(self._behind, raw_path=scope["raw_path"] + b"?" + scope["query_string"])
        passed_on = self._client.build_request(request.method, url, headers=request.headers.raw, content=_body(request))
        try:
            answer = await self._client.send(passed_on, stream=True)
        except (httpx.RemoteProtocolError, ClientDisconnect):  # the caller has disconnected
            return
        try:
            status = 206 if answer.status_code == 200 and "content-range" in answer.headers else answer.status_code
            response = StreamingResponse(answer.aiter_raw(), status)
            response.raw_headers = answer.headers.raw
            await response(scope, receive, send)
        finally:
            await answer.aclose()


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for block in request.stream():
        yield block


@contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Run a store with one empty bucket on loopback. It is deleted when the context ends."""
    with tempfile.TemporaryDirectory(prefix="batchwire-s3-") as temporary:
        folder = Path(temporary)
        served, log = folder / "served", folder / "rclone.log"
        (served / BUCKET).mkdir(parents=True)
        command = [str(RCLONE), "serve", "s3", str(served), "--addr", "127.0.0.1:0", "--auth-key", f"{KEY},{SECRET}"]
        with log.open("wb") as file:
            # Ignore rclone's configuration files and variables of this machine.
            environment = {"RCLONE_CONFIG": "", "HOME": temporary}
            process = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL, env=environment)
        try:
            wait_until(lambda: process.poll() is not None or bool(_address(log)))
            assert process.poll() is None, log.read_text()
            store = ObjectStore(served)
            with _proxy(store, _address(log)):
                yield store
        finally:
            process.terminate()
            process.wait(timeout=60)


def _address(log: Path) -> str:
    found = re.search(r"Starting s3 server on \[(http://[0-9.:]+)/", log.read_text())
    return found[1] if found else ""


@contextmanager
def _proxy(store: ObjectStore, behind: str) -> Iterator[None]:
    """Run the proxy on an event loop in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = AsyncExitStack()
    try:
        asyncio.run_coroutine_threadsafe(_start(store, behind, stack), loop).result()
        yield
    finally:
        store.hold = False
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(store: ObjectStore, behind: str, stack: AsyncExitStack) -> None:
    limits = httpx.Limits(max_connections=None)
    client = await stack.enter_async_context(httpx.AsyncClient(timeout=60, limits=limits, trust_env=False))
    listening = socket.create_server(("127.0.0.1", 0))
    store.endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = uvicorn.Config(
        _FailingProxy(store, behind, client),
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))

    async def end() -> None:
        server.should_exit = True
        await serving

    stack.push_async_callback(end)
