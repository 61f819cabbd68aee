"""Roles as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class RoleProcess:
    """A role that is starting or runs.

    Args:
        name: of the role.
        options: of its command.
        environment: of the process; None means that of this one.
    """

    def __init__(self, name: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "batchwire_server", name, *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def addresses(self) -> dict[str, str]:
        """Wait until the role is ready. Return the addresses that it announces."""
        assert self._process.stdout
        assert self._process.stderr
        words = self._process.stdout.readline().split()
        assert words[:1] == ["ready"], self._process.stderr.read()
        return dict(word.split("=", 1) for word in words[1:])

    def terminate(self) -> None:
        """Tell the role to end, as an operator does."""
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """End the role as an operator does, and expect that it ends well."""
        self.terminate()
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors


@contextmanager
def role(name: str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Run a role. Yield the addresses that it announces."""
    process = RoleProcess(name, *options, environment=environment)
    try:
        yield process.addresses()
    finally:
        process.stop()
