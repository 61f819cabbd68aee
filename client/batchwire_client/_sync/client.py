"""`Client`, the blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from batchwire_client._retries import RetryPolicy
from batchwire_client._settings import DEFAULT_TIMEOUT_S, resolve
from batchwire_client._sync.batches import Batches
from batchwire_client._sync.files import Files
from batchwire_client._sync.models import Models
from batchwire_client._sync.uploads import Uploads
from batchwire_client._transport.channel import sync_channel
from batchwire_client._transport.sync_calls import Calls


class Client:
    """A client of a Batchwire server, for blocking code.

    Threads may share it. Close it, or use it in a `with` statement.

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
        self._channel = sync_channel(settings)
        self.files = Files(self._channel, calls)
        self.uploads = Uploads(self._channel, calls)
        self.batches = Batches(self._channel, calls, self.files)
        self.models = Models(self._channel, calls)

    def close(self) -> None:
        """Close the connection and cancel the calls in flight."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
