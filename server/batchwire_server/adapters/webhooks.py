"""Webhooks posted over HTTP, to public addresses unless the operator allows others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from batchwire_server.core.errors import webhook_unreachable
from batchwire_server.core.webhooks import check_url, is_public


class HttpWebhooks:
    """The WebhookSender over HTTP.

    Each delivery resolves the host name once, checks all its addresses, and connects to one of
    these. A name that resolves differently a moment later (DNS rebinding) therefore gains nothing.
    Redirects are not followed, proxy variables are ignored, and response bodies are not read.

    Args:
        timeout: seconds for a whole delivery.
        private: allow http URLs and private addresses.
    """

    def __init__(self, timeout: float, *, private: bool) -> None:
        self._timeout = timeout
        self._private = private

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """See WebhookSender. Also raises BatchwireError if the URL is not allowed."""
        check_url(url, private=self._private)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            async with asyncio.timeout(self._timeout):
                address = await self._address(host, port)
                builder = (
                    ClientBuilder()
                    .user_agent("batchwire-webhooks")
                    .follow_redirects(enable=False)
                    .no_proxy()
                    .http1_only()
                    .timeout(timedelta(seconds=self._timeout))
                    .resolve(host, address, port)
                )
                async with builder.build() as client:
                    request = client.post(url).headers(dict(headers)).body_bytes(body)
                    async with request.build_streamed() as response:
                        return response.status
        except TimeoutError:
            raise webhook_unreachable("it did not answer in time") from None
        except (OSError, PyreqwestError) as error:
            raise webhook_unreachable(type(error).__name__) from error

    async def _address(self, host: str, port: int) -> str:
        """Return an address of a host after checking all of them.

        Raises OSError and BatchwireError.
        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not self._private and not all(is_public(address) for address in addresses):
            raise webhook_unreachable("private addresses are not allowed")
        return addresses[0]
