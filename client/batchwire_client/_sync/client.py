"""The blocking client."""

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
    """A Batchwire server, for code that may block. Safe to share between threads; close it, or use it in a `with` statement.

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
        self._channel = sync_channel(settings)
        self.files = Files(self._channel, calls)
        self.uploads = Uploads(self._channel, calls)
        self.batches = Batches(self._channel, calls, self.files)
        self.models = Models(self._channel, calls)

    def close(self) -> None:
        """Closes the connection; calls in flight end."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
