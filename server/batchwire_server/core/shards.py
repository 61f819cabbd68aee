"""Cuts a validated input into shards while it is read."""

from __future__ import annotations

from collections import Counter

from batchwire_server.core.records import Shard


class ShardCutter:
    """Collects lines into windows of the input, and makes one shard per model of each window.

    A window ends at `max_lines` lines or `max_bytes` bytes. In the last sixteenth of the input,
    windows are a quarter as long, so that several workers finish at about the same time.
    """

    def __init__(self, input_bytes: int, *, max_lines: int = 512, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._tail = input_bytes - input_bytes // 16
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._window = 0
        self._offset = 0
        self._end = 0
        self._first_line = 1
        self._models: Counter[str] = Counter()
        self._count = 0
        self.shards: list[tuple[str, Shard]] = []

    def add(self, model: str, number: int, offset: int, size: int) -> None:
        """Add the next line. `size` includes the line's end."""
        scale = 4 if offset >= self._tail else 1
        full = self._count * scale >= self._max_lines or (offset + size - self._offset) * scale > self._max_bytes
        if self._count and full:
            self.close()
        if not self._count:
            self._offset, self._first_line = offset, number
        self._models[model] += 1
        self._count += 1
        self._end = offset + size

    def close(self) -> None:
        """End the window. Call it after the last line too."""
        if not self._count:
            return
        length = self._end - self._offset
        self.shards.extend(
            (model, Shard(self._window, self._offset, length, self._first_line, lines))
            for model, lines in self._models.items()
        )
        self._models.clear()
        self._count = 0
        self._window += 1
