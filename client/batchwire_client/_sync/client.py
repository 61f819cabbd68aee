"""The blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from batchwire_client._retries import RetryPolicy
from batchwire_client._settings import DEFAULT_TIMEOUT, resolve
from batchwire_client._sync.batches import Batches
from batchwire_client._sync.files import Files
from batchwire_client._sync.models import Models
from batchwire_client._sync.uploads import Uploads
from batchwire_client._transport.channel import sync_channel
from batchwire_client._transport.sync_calls import Calls


class Client:
    """A client of a Batchwire server, blocking. Threads can share it.

    Close it, or use it in a `with` statement.

    Args:
        target: Address of the server: `"HOST:PORT"`, `"https://HOST"` (TLS) or
            `"http://HOST:PORT"`. Default: `BATCHWIRE_TARGET` of the environment, else
            `"127.0.0.1:50051"`.
        api_key: Bearer token of every call. Default: `BATCHWIRE_API_KEY` of the environment, else
            none.
        secure: Whether to use TLS. Default: True if the scheme says so, `root_certificates` are
            given or the port is 443.
        root_certificates: Certificates to trust, in PEM. Default: the system's.
        timeout: Seconds that a call may take. Uploads, downloads and streams have no limit.
        retry_policy: How often to retry while the server cannot be reached.

    Attributes:
        files: Uploads, lists and downloads files.
        uploads: Uploads large files in parts.
        batches: Creates, lists, watches and cancels batches.
        models: Lists the models that requests can name.
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
        self._channel = sync_channel(settings)
        self.files = Files(self._channel, calls)
        self.uploads = Uploads(self._channel, calls)
        self.batches = Batches(self._channel, calls, self.files)
        self.models = Models(self._channel, calls)

    def close(self) -> None:
        """Close the connection and end the calls in flight."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
