"""A real `batchwire-server serve`, on free ports and in a folder of its own."""

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
    """Wait for a condition; a test that fails here has waited in vain."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens at just now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Server:
    """A server as a user starts it.

    Args:
        folder: holds its data and its log.
        options: more of the command line.
        environment: more of the environment, such as `BATCHWIRE_LIMITS__MAX_LINES`.
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
        """Start it, and waits until it serves."""
        ports = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
        command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(self.data_dir), *ports]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        assert self.process.stdout
        line = self.process.stdout.readline()
        match = re.fullmatch(r"ready grpc=(\S+) http=(\S+)\n", line)
        assert match, f"no ready line but {line!r}; the log says\n{self.log.read_text()}"
        self.grpc, self.http = match[1], match[2]
        return self

    @property
    def url(self) -> str:
        """The base URL of the REST face, without a version."""
        return f"http://{self.http}"

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes that live."""
        return [child for child in psutil.Process(self.process.pid).children() if child.is_running()]

    def blobs(self) -> list[str]:
        """Return the names of all files below the blob folder, in order."""
        return files_below(self.data_dir / "blobs")

    def stop(self) -> int:
        """Stop it as an operator does; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """Stop it as a power cut does."""
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
