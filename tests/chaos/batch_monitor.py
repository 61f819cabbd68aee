"""Looks at a batch all the time, as a caller does, and remembers what it was told."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import requests
from batchwire_server.core.lifecycle import TRANSITIONS, BatchStatus

LOOK_S = 0.05
FIXED = ("id", "input_file_id", "endpoint", "completion_window", "created_at", "expires_at", "metadata")
STAMPS = tuple(f"{status}_at" for status in BatchStatus if status is not BatchStatus.VALIDATING)


def reachable(start: BatchStatus) -> set[BatchStatus]:
    """Return the states that may follow one, at once or later, and itself: looks may miss some in between."""
    found, new = {start}, {start}
    while new := {after for before in new for after in TRANSITIONS[before]} - found:
        found |= new
    return found


class Observer:
    """Read a batch over REST until its context ends; `check` then says what it may not have seen.

    Args:
        url: of the gateway.
        batch_id: names the batch.
    """

    def __init__(self, url: str, batch_id: str) -> None:
        self._url = f"{url}/v1/batches/{batch_id}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._faults: list[str] = []
        self._last: dict[str, Any] | None = None
        self.looks = 0

    def _look(self) -> None:
        with requests.Session() as session:
            while not self._ending.wait(LOOK_S):
                try:
                    answer = session.get(self._url, timeout=10)
                except requests.RequestException:
                    continue
                if answer.status_code in {502, 503, 504}:
                    continue
                if answer.status_code != 200:
                    self._faults.append(f"{answer.status_code}: {answer.text}")
                    continue
                self._compare(answer.json())

    def _compare(self, batch: dict[str, Any]) -> None:
        self.looks += 1
        last, self._last = self._last, batch
        if last is None:
            return
        before, after = BatchStatus(last["status"]), BatchStatus(batch["status"])
        if after not in reachable(before):
            self._faults.append(f"{before} became {after}")
        if before == after and not TRANSITIONS[before] and last != batch:
            self._faults.append(f"a batch that is {before} changed: {last} became {batch}")
        self._faults += [f"{name} changed: {last[name]} {batch[name]}" for name in FIXED if last[name] != batch[name]]
        self._faults += [
            f"{name} changed: {last[name]} {batch[name]}"
            for name in STAMPS
            if last[name] is not None and last[name] != batch[name]
        ]
        for name, count in last["request_counts"].items():
            if batch["request_counts"][name] < count:
                self._faults.append(f"{name} went down from {count} to {batch['request_counts'][name]}")

    @property
    def status(self) -> str:
        """Where the batch stood when last seen."""
        return str(self._last["status"]) if self._last else ""

    @property
    def ended(self) -> bool:
        """Whether the batch was seen in a terminal state."""
        return bool(self._last) and not TRANSITIONS[BatchStatus(self.status)]

    def counts(self) -> dict[str, int]:
        """Return the counts that were seen last."""
        return dict(self._last["request_counts"]) if self._last else {"total": 0, "completed": 0, "failed": 0}

    def wait(self, within: float) -> None:
        """Wait until the batch has ended by itself."""
        end = time.monotonic() + within
        while not self.ended:
            assert time.monotonic() < end, f"the batch does not end: {self._last}"
            time.sleep(LOOK_S)

    def check(self) -> None:
        """Assert that nothing was seen that may not be."""
        assert not self._faults, self._faults

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
