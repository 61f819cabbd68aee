"""What scenarios are played on: installations, their upstreams, and the judgement at the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.batch_monitor import Observer
from tests.chaos.checks import Agreement, Figures, agreement, repeated_calls
from tests.chaos.installation import Installation, Setup
from tests.chaos.recording_upstream import Witness
from tests.support.invariants import Ended, check_ended
from tests.support.server import wait_until

LIVELINESS_S = 120.0
ORPHANS_OF_A_KILL = 8
"""A process may be about to write the rows of so many blobs at once: a segment for each shard that it holds, two files of a batch that ends."""


class Batch:
    """A batch that a scenario has created."""

    def __init__(self, batch_id: str, content: bytes, seen: Observer) -> None:
        self.id = batch_id
        self.content = content
        self.seen = seen

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.content.splitlines())


class Stage:
    """Installations over one setup, for one test.

    Args:
        setup: where truth and bytes are.
        logs: a folder.
        stack: ends what was started.
        figures: what the test comes to.
    """

    def __init__(self, setup: Setup, logs: Path, stack: ExitStack, figures: Figures) -> None:
        self.setup = setup
        self.figures = figures
        self._logs = logs
        self._stack = stack

    def witness(self, low: float = 0.02, high: float = 0.1) -> Witness:
        """Run an upstream."""
        return self._stack.enter_context(Witness(low, high))

    def install(self, witnesses: Sequence[Witness], *, restart: bool = True, **settings: str) -> Installation:
        """Prepare an installation with a worker for each upstream; nothing of it runs yet."""
        urls = [witness.base_url for witness in witnesses]
        made = Installation(self.setup, self._logs, urls, restart=restart, settings=settings)
        return self._stack.enter_context(made)

    def submit(self, installation: Installation, lines: int, prefix: str = "line", **more: object) -> Batch:
        """Create a batch, and looks at it from now on."""
        batch_id, content = installation.submit_lines(lines, prefix, **more)
        return Batch(batch_id, content, self._stack.enter_context(Observer(installation.url, batch_id)))

    def judge(
        self, installation: Installation, witnesses: Sequence[Witness], *batches: Batch, within: float = LIVELINESS_S
    ) -> list[Ended]:
        """Wait until batches have ended by themselves, and asserts what must hold of each."""
        found = []
        for batch in batches:
            batch.seen.wait(within)
            wait_until(installation.ready)
            batch.seen.check()
            found.append(check_ended(installation.url, batch.id, batch.content))
            self.figures.lines += batch.lines
        calls = {line: made for witness in witnesses for line, made in witness.of_line().items()}
        if len(witnesses) > 1:
            calls = {}
            for witness in witnesses:
                for line, made in witness.of_line().items():
                    calls[line] = sorted([*calls.get(line, []), *made], key=lambda call: call.asked)
        self.figures.repeated = repeated_calls(calls, installation.disturbances)
        return found

    def settle(self, installation: Installation) -> Agreement:
        """Stop an installation, and asserts that rows and blobs fit, but for bytes that a kill has left without a row."""
        installation.stop()
        self.figures.kills += installation.kills
        found = agreement(self.setup)
        assert not found.missing
        assert not found.unfinished
        assert not found.unswept
        assert len(found.orphans) <= len(installation.disturbances) * ORPHANS_OF_A_KILL, found.orphans
        return found

    def note_recovery(self, witness: Witness, since: float, lines: Collection[str] | None = None) -> None:
        """Wait for the next call to an upstream after a moment, of any of some lines or of all, and keeps how long it took at worst."""

        def first() -> float | None:
            calls = list(witness.calls)
            return next(
                (call.asked for call in calls if call.asked > since and (lines is None or call.line in lines)), None
            )

        wait_until(lambda: first() is not None)
        self.figures.recovery_s = max(self.figures.recovery_s or 0.0, (first() or since) - since)


def asked(witnesses: Sequence[Witness]) -> int:
    """Return how many calls were made."""
    return sum(len(witness.calls) for witness in witnesses)


def until_asked(witnesses: Sequence[Witness], calls: int) -> None:
    """Wait until so many calls were made."""
    wait_until(lambda: asked(witnesses) >= calls, within=120)


def pause(seconds: float) -> None:
    """Let time pass in which something is broken: how long is the scenario's own choice, and no condition."""
    time.sleep(seconds)
