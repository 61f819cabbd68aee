"""Sampling of the resident size of processes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psutil


class PeakMemory:
    """Samples the resident size of named processes while its context lasts."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._peak = {name: process.memory_info().rss for name, process in self._processes.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            for name, process in self._processes.items():
                self._peak[name] = max(self._peak[name], process.memory_info().rss)

    def peaks(self) -> dict[str, int]:
        """Return the largest size of each process so far, in bytes."""
        return dict(self._peak)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
