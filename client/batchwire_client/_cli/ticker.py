"""Progress as plain lines, for logs and pipes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchwire import v1
from rich.console import Console

from batchwire_client._bytes import Progress
from batchwire_client._cli.phrases import batch_phrase, ended_lines, transfer_phrase
from batchwire_client._cli.rate import Pace
from batchwire_client._statuses import TERMINAL, status_word

EVERY_SECONDS = 5.0


class Ticker:
    """Writes a line when something turns, and every few seconds while it goes on."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def transfer(self, label: str) -> Iterator[Progress]:
        """Lines about bytes; the last one tells the whole."""
        pace = Pace(self._clock)
        pace.reach(0)
        said_at = self._clock()
        phrase = ""

        def note(done: int, total: int | None) -> None:
            nonlocal said_at, phrase
            pace.reach(done)
            phrase = transfer_phrase(done, total, pace)
            if self._clock() - said_at >= EVERY_SECONDS:
                said_at = self._clock()
                self._say(f"{label}: {phrase}")

        yield note
        self._say(f"{label}: {phrase or 'done'}")

    @contextmanager
    def batch(self) -> Iterator[Callable[[v1.Batch], None]]:
        """Lines about a batch: one for each status, and every few seconds."""
        pace = Pace(self._clock)
        said: tuple[float, v1.BatchStatus.ValueType] | None = None

        def note(batch: v1.Batch) -> None:
            nonlocal said
            pace.reach(ended_lines(batch))
            now = self._clock()
            turned = said is None or said[1] != batch.status or batch.status in TERMINAL
            if turned or (said is not None and now - said[0] >= EVERY_SECONDS):
                said = (now, batch.status)
                self._say(f"{status_word(batch)}: {batch_phrase(batch, pace)}")

        yield note

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
