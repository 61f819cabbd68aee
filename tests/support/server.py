"""A `batchwire-server serve` process with its own data folder and free ports."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.folders import files_below


def wait_until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Wait until a condition holds. Raises AssertionError after `within` seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"the condition did not hold within {within} s"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Server:
    """A `serve` process.

    Args:
        folder: for its data and its log.
        options: additional command line options.
        environment: additional environment variables, such as `BATCHWIRE_LIMITS__MAX_LINES`.
    """

    def __init__(self, folder: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data_dir = folder / "data"
        self.log = folder / "server.log"
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self.grpc = ""
        self.http = ""

    def start(self) -> Self:
        """Start the process and wait until it serves."""
        ports = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
        command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(self.data_dir), *ports]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        match = re.fullmatch(r"ready grpc=(\S+) http=(\S+)\n", line)
        assert match, f"expected the ready line, got {line!r}; log:\n{self.log.read_text()}"
        self.grpc, self.http = match[1], match[2]
        return self

    @property
    def url(self) -> str:
        """The base URL of the REST gateway, without a version."""
        return f"http://{self.http}"

    def workers(self) -> list[psutil.Process]:
        """Return the running worker processes."""
        return [child for child in psutil.Process(self.process.pid).children() if child.is_running()]

    def blobs(self) -> list[str]:
        """Return the paths of all files below the blob folder, sorted."""
        return files_below(self.data_dir / "blobs")

    def stop(self) -> int:
        """Stop the process with SIGTERM. Return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait(timeout=60)
        assert self.process.stdout
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
