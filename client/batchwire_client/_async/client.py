"""`AsyncClient`, the client for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from batchwire_client._async.batches import AsyncBatches
from batchwire_client._async.files import AsyncFiles
from batchwire_client._async.models import AsyncModels
from batchwire_client._async.uploads import AsyncUploads
from batchwire_client._retries import RetryPolicy
from batchwire_client._settings import DEFAULT_TIMEOUT_S, resolve
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.channel import async_channel


class AsyncClient:
    """A client of a Batchwire server, for asyncio.

    Create it while the event loop runs. Close it, or use it in an `async with` statement.

    Args:
        target: address of the server: `"HOST:PORT"`, `"http://HOST:PORT"`, or `"https://HOST"` for
            TLS. Default: the environment variable `BATCHWIRE_TARGET`, else `"127.0.0.1:50051"`.
        api_key: API key, sent with every call as a bearer token. Default: the environment variable
            `BATCHWIRE_API_KEY`, else none.
        secure: whether to use TLS. Default: as the scheme says; without a scheme, if
            `root_certificates` are given or the port is 443.
        root_certificates: trusted certificates in PEM. Default: those that come with gRPC.
        timeout: seconds that a unary call may take. Uploads, downloads and streams have no limit.
        retry_policy: when to retry, and when to give up. Default: `RetryPolicy()`.
        proxy: URL of an HTTP proxy, such as `"http://proxy:3128"`, through which to connect, unless
            the environment variable `no_grpc_proxy` or `no_proxy` exempts the host. Default: no
            proxy, whatever the environment names.

    Attributes:
        files: upload, list, delete and download files.
        uploads: upload large files in parts.
        batches: create, retry, watch and cancel batches, and read their results.
        models: list the models that requests can name.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        api_key: str | None = None,
        secure: bool | None = None,
        root_certificates: bytes | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        retry_policy: RetryPolicy | None = None,
        proxy: str | None = None,
    ) -> None:
        settings = resolve(
            target,
            api_key=api_key,
            secure=secure,
            root_certificates=root_certificates,
            timeout=timeout,
            retry_policy=retry_policy,
            proxy=proxy,
        )
        calls = Calls(settings)
        self._channel = async_channel(settings)
        self.files = AsyncFiles(self._channel, calls)
        self.uploads = AsyncUploads(self._channel, calls)
        self.batches = AsyncBatches(self._channel, calls, self.files)
        self.models = AsyncModels(self._channel, calls)

    async def close(self) -> None:
        """Close the connection and cancel the calls in flight."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
