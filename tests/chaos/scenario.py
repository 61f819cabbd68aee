"""What chaos tests use: installations, their upstreams, and the checks at the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.batch_monitor import BatchMonitor
from tests.chaos.checks import ScenarioResult, StorageCheck, check_storage, repeated_calls
from tests.chaos.installation import Installation, Setup
from tests.chaos.recording_upstream import RecordingUpstream
from tests.support.invariants import Ended, check_ended
from tests.support.server import wait_until

END_TIMEOUT_S = 120.0
ORPHANS_PER_KILL = 8
"""Blobs without a row that one kill may leave: a segment per held shard, and two result files."""


class Batch:
    """A batch of a scenario, its input, and the monitor that polls it."""

    def __init__(self, batch_id: str, content: bytes, monitor: BatchMonitor) -> None:
        self.id = batch_id
        self.content = content
        self.monitor = monitor

    @property
    def lines(self) -> int:
        """The number of lines of its input."""
        return len(self.content.splitlines())


class Scenario:
    """The installations of one test, over one database and blob store.

    Args:
        setup: database and blob store.
        logs: folder for the logs of all processes.
        stack: stops what the scenario starts.
        result: receives the numbers for the report.
    """

    def __init__(self, setup: Setup, logs: Path, stack: ExitStack, result: ScenarioResult) -> None:
        self.setup = setup
        self.result = result
        self._logs = logs
        self._stack = stack

    def upstream(self, low: float = 0.02, high: float = 0.1) -> RecordingUpstream:
        """Run an upstream with a latency between `low` and `high` seconds."""
        return self._stack.enter_context(RecordingUpstream(low, high))

    def install(self, upstreams: Sequence[RecordingUpstream], *, restart: bool = True, **settings: str) -> Installation:
        """Return an installation with one worker per upstream, not started yet."""
        urls = [each.base_url for each in upstreams]
        made = Installation(self.setup, self._logs, urls, restart=restart, settings=settings)
        return self._stack.enter_context(made)

    def submit(self, installation: Installation, lines: int, prefix: str = "line", **more: object) -> Batch:
        """Create a batch and start to monitor it."""
        batch_id, content = installation.submit_lines(lines, prefix, **more)
        return Batch(batch_id, content, self._stack.enter_context(BatchMonitor(installation.url, batch_id)))

    def wait_and_check(
        self,
        installation: Installation,
        upstreams: Sequence[RecordingUpstream],
        *batches: Batch,
        within: float = END_TIMEOUT_S,
    ) -> list[Ended]:
        """Wait until the batches have ended, and check the invariants of each."""
        found = []
        for batch in batches:
            batch.monitor.wait(within)
            wait_until(installation.ready)
            batch.monitor.check()
            found.append(check_ended(installation.url, batch.id, batch.content))
            self.result.lines += batch.lines
        calls = {line: made for upstream in upstreams for line, made in upstream.calls_by_line().items()}
        if len(upstreams) > 1:
            calls = {}
            for upstream in upstreams:
                for line, made in upstream.calls_by_line().items():
                    calls[line] = sorted([*calls.get(line, []), *made], key=lambda call: call.received_at)
        self.result.repeated = repeated_calls(calls, installation.faults_at)
        return found

    def stop_and_check_storage(self, installation: Installation) -> StorageCheck:
        """Stop an installation and check that rows and blobs match, but for orphans of kills."""
        installation.stop()
        self.result.kills += installation.kills
        found = check_storage(self.setup)
        assert not found.missing
        assert not found.unfinished
        assert not found.unswept
        assert len(found.orphans) <= len(installation.faults_at) * ORPHANS_PER_KILL, found.orphans
        return found

    def record_recovery(self, upstream: RecordingUpstream, since: float, lines: Collection[str] | None = None) -> None:
        """Record the delay until the next call after `since`, of one of `lines` if given."""

        def first() -> float | None:
            calls = list(upstream.calls)
            return next(
                (
                    call.received_at
                    for call in calls
                    if call.received_at > since and (lines is None or call.line in lines)
                ),
                None,
            )

        wait_until(lambda: first() is not None)
        self.result.recovery_s = max(self.result.recovery_s or 0.0, (first() or since) - since)


def call_count(upstreams: Sequence[RecordingUpstream]) -> int:
    """Return how many calls the upstreams have received."""
    return sum(len(upstream.calls) for upstream in upstreams)


def wait_for_calls(upstreams: Sequence[RecordingUpstream], calls: int) -> None:
    """Wait until the upstreams have received so many calls."""
    wait_until(lambda: call_count(upstreams) >= calls, within=120)


def pause(seconds: float) -> None:
    """Let a fault last for some seconds.

    No condition could end it: the duration is part of the scenario.
    """
    time.sleep(seconds)
