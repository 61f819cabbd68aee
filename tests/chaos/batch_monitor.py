"""Poll a batch and check that its states, times and counts only change as they may."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any, Self

import requests
from batchwire_server.core.lifecycle import TRANSITIONS, BatchStatus

POLL_S = 0.05
IMMUTABLE_FIELDS = ("id", "input_file_id", "endpoint", "completion_window", "created_at", "expires_at", "metadata")
TIMESTAMP_FIELDS = tuple(f"{status}_at" for status in BatchStatus if status is not BatchStatus.VALIDATING)


def reachable_states(start: BatchStatus) -> set[BatchStatus]:
    """Return a state and all states that may follow it, since polling may miss some in between."""
    found, new = {start}, {start}
    while new := {after for before in new for after in TRANSITIONS[before]} - found:
        found |= new
    return found


class BatchMonitor:
    """Polls a batch over REST until its context ends. `check` raises if it saw a forbidden change.

    Args:
        url: base URL of the gateway.
        batch_id: the batch to poll.
    """

    def __init__(self, url: str, batch_id: str) -> None:
        self._url = f"{url}/v1/batches/{batch_id}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        self._violations: list[str] = []
        self._last: dict[str, Any] | None = None

    def _poll(self) -> None:
        with requests.Session() as session:
            while not self._ending.wait(POLL_S):
                try:
                    answer = session.get(self._url, timeout=10)
                except requests.RequestException:
                    continue
                if answer.status_code in {502, 503, 504}:
                    continue
                if answer.status_code != 200:
                    self._violations.append(f"{answer.status_code}: {answer.text}")
                    continue
                self._compare(answer.json())

    def _compare(self, batch: dict[str, Any]) -> None:
        last, self._last = self._last, batch
        if last is None:
            return
        before, after = BatchStatus(last["status"]), BatchStatus(batch["status"])
        if after not in reachable_states(before):
            self._violations.append(f"{before} became {after}")
        if before == after and not TRANSITIONS[before] and last != batch:
            self._violations.append(f"a batch that is {before} changed: {last} became {batch}")
        self._violations += [
            f"{name} changed: {last[name]} {batch[name]}" for name in IMMUTABLE_FIELDS if last[name] != batch[name]
        ]
        self._violations += [
            f"{name} changed: {last[name]} {batch[name]}"
            for name in TIMESTAMP_FIELDS
            if last[name] is not None and last[name] != batch[name]
        ]
        for name, count in last["request_counts"].items():
            if batch["request_counts"][name] < count:
                self._violations.append(f"{name} went down from {count} to {batch['request_counts'][name]}")

    @property
    def status(self) -> str:
        """The status of the last answer."""
        return str(self._last["status"]) if self._last else ""

    @property
    def ended(self) -> bool:
        """Whether the last status is terminal."""
        return bool(self._last) and not TRANSITIONS[BatchStatus(self.status)]

    def counts(self) -> dict[str, int]:
        """Return the request counts of the last answer."""
        return dict(self._last["request_counts"]) if self._last else {"total": 0, "completed": 0, "failed": 0}

    def wait(self, within: float) -> None:
        """Wait until the batch has ended."""
        end = time.monotonic() + within
        while not self.ended:
            assert time.monotonic() < end, f"the batch does not end: {self._last}"
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raise AssertionError if a forbidden change was seen."""
        assert not self._violations, self._violations

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
