"""An HTTP proxy that records requests and refuses all of them."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REFUSAL = b"HTTP/1.1 502 Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass
class RefusingProxy:
    """A running proxy: its URL, and the first line of each request that it got."""

    url: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def refusing_proxy() -> Iterator[RefusingProxy]:
    """Run a proxy on a free port of 127.0.0.1."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            proxy.requests.append(self.rfile.readline().decode("latin-1").strip())
            self.wfile.write(REFUSAL)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        proxy = RefusingProxy(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
