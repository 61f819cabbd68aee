"""An OpenAI-compatible inference server over HTTP."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from time import time
from urllib.parse import urlsplit

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import DetailedPyreqwestError, PyreqwestError, RequestTimeoutError
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.response import Response

from batchwire_server.core.errors import OutOfReachError, UnknownModelsError
from batchwire_server.core.health import Component
from batchwire_server.core.records import Model
from batchwire_server.core.results import NoReply, NoReplyKind, Reply

CONNECT_TIMEOUT_S = 10
MODELS_TIMEOUT_S = 10
MAX_RETRY_AFTER_S = 86400.0
NEVER_CONNECTED = "client error (Connect)"


class _Model(msgspec.Struct, frozen=True):
    id: str
    created: int | None = None
    owned_by: str | None = None


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


_models = msgspec.json.Decoder(_Models)


def normal_base_url(base_url: str) -> str:
    """Return the URL below which `/chat/completions` and `/models` are.

    A URL without a path gets `/v1`.
    """
    trimmed = base_url.rstrip("/")
    return trimmed if urlsplit(trimmed).path else f"{trimmed}/v1"


def parse_retry_after(milliseconds: str | None, seconds: str | None, now: float) -> float | None:
    """Return the seconds that a response asks to wait, at most a day, or None.

    Args:
        milliseconds: the header `retry-after-ms`, which takes precedence.
        seconds: the header `retry-after`: a number or a date.
        now: the time, in seconds since the epoch.
    """
    try:
        if milliseconds is not None:
            asked = float(milliseconds) / 1000
        elif seconds is None:
            return None
        elif re.fullmatch(r"\s*[0-9.]+\s*", seconds):
            asked = float(seconds)
        else:
            asked = parsedate_to_datetime(seconds).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(asked) else min(max(asked, 0.0), MAX_RETRY_AFTER_S)


def _header(response: Response, name: str) -> str | None:
    try:
        return response.get_header(name)
    except ValueError:  # not text
        return None


def _retry_after(response: Response) -> float | None:
    return parse_retry_after(_header(response, "retry-after-ms"), _header(response, "retry-after"), time())


def _kind(error: PyreqwestError) -> NoReplyKind:
    """Return why there is no response.

    pyreqwest raises ConnectError also for a connection that breaks during the call, and
    ConnectTimeoutError also for a response that stalls. Only the causes say whether the connection
    was ever established.
    """
    causes = (error.details["causes"] or []) if isinstance(error, DetailedPyreqwestError) else []
    if any(cause["message"] == NEVER_CONNECTED for cause in causes):
        return NoReplyKind.UNREACHABLE
    return NoReplyKind.TIMEOUT if isinstance(error, RequestTimeoutError) else NoReplyKind.BROKEN


class HttpUpstream:
    """The Upstream behind an OpenAI-compatible base URL.

    Args:
        name: the operator's name for the upstream.
        base_url: such as `http://gpu-1:8000/v1`.
        api_key: sent as a bearer token, unless None.
        timeout: seconds for a whole call.
        proxy: URL of the proxy of all requests. Empty means the proxies that the environment names.

    Raises:
        OutOfReachError: no HTTP client can be made with this proxy or without trusted certificates.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, timeout: float, proxy: str = "") -> None:
        self._name = name
        self._base_url = normal_base_url(base_url)
        builder = (
            ClientBuilder()
            .user_agent("batchwire")
            .follow_redirects(enable=False)  # a redirect turns a POST into a GET, or sends the key to another host
            .gzip(enable=False)  # a small compressed response could expand to any size
            .brotli(enable=False)
            .zstd(enable=False)
            .deflate(enable=False)
            .http1_only()
            .tcp_nodelay(enabled=True)
            .connect_timeout(timedelta(seconds=CONNECT_TIMEOUT_S))
            .timeout(timedelta(seconds=timeout))
            .default_headers({"authorization": f"Bearer {api_key}"} if api_key else {})
        )
        if proxy:
            builder = builder.proxy(ProxyBuilder.all(proxy))
        try:
            self._client: Client = builder.build()
        except DetailedPyreqwestError as error:
            cause = (error.details["causes"] or [{"message": str(error)}])[-1]["message"]
            raise OutOfReachError(
                Component.UPSTREAMS,
                f"no HTTP client for upstream {name}: {cause}; check its proxy, SSL_CERT_FILE and SSL_CERT_DIR",
            ) from error

    @property
    def name(self) -> str:
        """The operator's name for the upstream."""
        return self._name

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """See Upstream."""
        url = self._base_url + endpoint.removeprefix("/v1")
        try:
            request = self._client.post(url).header("content-type", "application/json").body_bytes(body).build()
            response = await request.send()
            status, content = response.status, (await response.bytes()).to_bytes()
            retry_after = _retry_after(response) if status >= 400 else None
            return Reply(status, content, _header(response, "x-request-id"), retry_after)
        except PyreqwestError as error:
            return NoReply(_kind(error), str(error))

    async def models(self) -> list[Model]:
        """See Upstream."""
        try:
            request = self._client.get(f"{self._base_url}/models").timeout(timedelta(seconds=MODELS_TIMEOUT_S))
            response = await request.build().send()
            if response.status != 200:
                raise UnknownModelsError(
                    f"upstream {self._name} answered {response.status} to GET {self._base_url}/models"
                )
            listed = _models.decode(bytes(await response.bytes())).data
        except (PyreqwestError, msgspec.DecodeError) as error:
            raise UnknownModelsError(
                f"cannot list the models of upstream {self._name} at {self._base_url}/models: {error}"
            ) from error
        return [Model(model.id, model.created or 0, model.owned_by or self._name) for model in listed]

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
