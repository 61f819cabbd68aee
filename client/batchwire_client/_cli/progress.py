"""Progress on stderr: bars on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from batchwire import v1
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from batchwire_client._bytes import Progress
from batchwire_client._cli.rate import Rate, duration
from batchwire_client._statuses import TERMINAL, status_word

LINE_INTERVAL_S = 5.0

_MEGABYTE = 1_000_000


class Display(Protocol):
    """A display of progress."""

    def transfer(self, label: str) -> AbstractContextManager[Progress]:
        """Show a transfer of bytes. The block receives a callback for the bytes so far."""

    def batch(self) -> AbstractContextManager[Callable[[v1.Batch], None]]:
        """Show a running batch. The block receives a callback for its snapshots."""


def display_on(console: Console) -> Display:
    """Return bars for a terminal, and lines for anything else."""
    return Bars(console) if console.is_terminal else PlainLines(console)


class Bars:
    """Progress bars, which stay on the terminal when they are complete."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def transfer(self, label: str) -> Iterator[Progress]:
        """Show a bar of bytes."""
        rate = Rate()
        rate.record(0)
        with self._bar() as bar:
            task = bar.add_task(label, total=None, text="")

            def update(done: int, total: int | None) -> None:
                rate.record(done)
                bar.update(task, completed=done, total=total, text=transfer_text(done, total, rate))

            yield update

    @contextmanager
    def batch(self) -> Iterator[Callable[[v1.Batch], None]]:
        """Show a bar of lines."""
        rate = Rate()
        with self._bar() as bar:
            task = bar.add_task("", total=None, text="")

            def update(batch: v1.Batch) -> None:
                rate.record(ended_lines(batch))
                bar.update(
                    task,
                    description=status_word(batch),
                    completed=ended_lines(batch),
                    total=batch.request_counts.total or None,  # without a total, the bar shows activity
                    text=batch_text(batch, rate),
                )

            yield update

    def _bar(self) -> RichProgress:
        return RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
        )


class PlainLines:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    @contextmanager
    def transfer(self, label: str) -> Iterator[Progress]:
        """Print a line every `LINE_INTERVAL_S`, and a last one with the total."""
        rate = Rate(self._clock)
        rate.record(0)
        printed_at = self._clock()
        text = ""

        def update(done: int, total: int | None) -> None:
            nonlocal printed_at, text
            rate.record(done)
            text = transfer_text(done, total, rate)
            if self._clock() - printed_at >= LINE_INTERVAL_S:
                printed_at = self._clock()
                self._print(f"{label}: {text}")

        yield update
        self._print(f"{label}: {text or 'done'}")

    @contextmanager
    def batch(self) -> Iterator[Callable[[v1.Batch], None]]:
        """Print a line for each new status, and one every `LINE_INTERVAL_S`."""
        rate = Rate(self._clock)
        printed: tuple[float, v1.BatchStatus.ValueType] | None = None

        def update(batch: v1.Batch) -> None:
            nonlocal printed
            rate.record(ended_lines(batch))
            now = self._clock()
            changed = printed is None or printed[1] != batch.status or batch.status in TERMINAL
            if changed or (printed is not None and now - printed[0] >= LINE_INTERVAL_S):
                printed = (now, batch.status)
                self._print(f"{status_word(batch)}: {batch_text(batch, rate)}")

        yield update

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def transfer_text(done: int, total: int | None, rate: Rate) -> str:
    """Return a transfer's bytes and rate as text."""
    per_second = rate.per_second()
    of_total = f"/{total / _MEGABYTE:.1f}" if total is not None else ""
    return _joined(
        f"{done / _MEGABYTE:.1f}{of_total} MB",
        f"{per_second / _MEGABYTE:.1f} MB/s" if per_second is not None else None,
    )


def batch_text(batch: v1.Batch, rate: Rate) -> str:
    """Return a batch's completed and failed lines, its rate and the time left as text."""
    counts = batch.request_counts
    per_second = rate.per_second()
    left = rate.seconds_left(counts.total) if batch.status == v1.BATCH_STATUS_IN_PROGRESS else None
    return _joined(
        f"{counts.completed:,}/{counts.total:,} done",
        f"{counts.failed:,} failed",
        f"{per_second:,.1f} lines/s" if per_second is not None else None,
        f"{duration(left)} left" if left is not None else None,
    )


def ended_lines(batch: v1.Batch) -> int:
    """Return how many lines have completed or failed."""
    return batch.request_counts.completed + batch.request_counts.failed


def _joined(*parts: str | None) -> str:
    return " · ".join(part for part in parts if part is not None)
