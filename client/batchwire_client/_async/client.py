"""The client for asyncio."""

from types import TracebackType
from typing import Self

from batchwire_client._async.batches import AsyncBatches
from batchwire_client._async.files import AsyncFiles
from batchwire_client._async.models import AsyncModels
from batchwire_client._async.uploads import AsyncUploads
from batchwire_client._retries import RetryPolicy
from batchwire_client._settings import DEFAULT_TIMEOUT, resolve
from batchwire_client._transport.async_calls import Calls
from batchwire_client._transport.channel import async_channel


class AsyncClient:
    """A Batchwire server, for asyncio. Make it where the event loop runs; close it, or use it in an `async with` statement.

    Args:
        target: Address of the server: `"HOST:PORT"`, or with a scheme `"https://HOST"` (TLS) or `"http://HOST:PORT"`. By
            default the environment's `BATCHWIRE_TARGET`, else `"127.0.0.1:50051"`.
        api_key: Sent as a bearer token with every call. By default the environment's `BATCHWIRE_API_KEY`, else none.
        secure: Whether to use TLS. By default when the scheme says so, `root_certificates` are given or the port is 443.
        root_certificates: Certificates to trust, in PEM; by default the system's.
        timeout: Seconds that a call may take; uploads, downloads and streams have no limit.
        patience: How long to keep trying when the server cannot be reached.

    Attributes:
        files: Stores files, lists them and gives their bytes back.
        uploads: Takes large files in parts.
        batches: Creates batches and follows them.
        models: Tells which models batches may name.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        api_key: str | None = None,
        secure: bool | None = None,
        root_certificates: bytes | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        settings = resolve(
            target,
            api_key=api_key,
            secure=secure,
            root_certificates=root_certificates,
            timeout=timeout,
            retry_policy=retry_policy,
        )
        calls = Calls(settings)
        self._channel = async_channel(settings)
        self.files = AsyncFiles(self._channel, calls)
        self.uploads = AsyncUploads(self._channel, calls)
        self.batches = AsyncBatches(self._channel, calls, self.files)
        self.models = AsyncModels(self._channel, calls)

    async def close(self) -> None:
        """Closes the connection; calls in flight end."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
