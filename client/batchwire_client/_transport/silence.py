"""Ends silent streams."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Protocol, Self


class Cancellable(Protocol):
    """A call in flight."""

    def cancel(self) -> object:
        """Cancel the call."""


class SilenceGuard:
    """Cancels a call if its next message does not arrive within `limit` seconds.

    A blocking read has no timeout, so a thread watches it. Only the time spent waiting counts: a
    slow reader is not a silent server.
    """

    def __init__(self, call: Cancellable, limit: float) -> None:
        self._call = call
        self._limit = limit
        self._waiting_since: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="batchwire-silence", daemon=True)
        self.tripped = False

    def waiting(self) -> None:
        """Note that the reader begins to wait."""
        self._waiting_since = time.monotonic()

    def heard(self) -> None:
        """Note that the reader received a message."""
        self._waiting_since = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = self._limit
        while not self._over.wait(pause):
            since = self._waiting_since
            silent = 0.0 if since is None else time.monotonic() - since
            if silent >= self._limit:
                self.tripped = True
                self._call.cancel()
                return
            pause = self._limit - silent
