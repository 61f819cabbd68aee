"""Progress bars for a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchwire import v1
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Rich

from batchwire_client._bytes import Progress
from batchwire_client._cli.phrases import batch_phrase, ended_lines, transfer_phrase
from batchwire_client._cli.rate import Pace
from batchwire_client._statuses import status_word


class Bars:
    """Draws a bar that stays when it is done."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def transfer(self, label: str) -> Iterator[Progress]:
        """A bar of bytes."""
        pace = Pace()
        pace.reach(0)
        with self._bar() as bar:
            task = bar.add_task(label, total=None, phrase="")

            def note(done: int, total: int | None) -> None:
                pace.reach(done)
                bar.update(task, completed=done, total=total, phrase=transfer_phrase(done, total, pace))

            yield note

    @contextmanager
    def batch(self) -> Iterator[Callable[[v1.Batch], None]]:
        """A bar of lines."""
        pace = Pace()
        with self._bar() as bar:
            task = bar.add_task("", total=None, phrase="")

            def note(batch: v1.Batch) -> None:
                pace.reach(ended_lines(batch))
                bar.update(
                    task,
                    description=status_word(batch),
                    completed=ended_lines(batch),
                    total=batch.request_counts.total or None,  # a bar without a total shows that it waits
                    phrase=batch_phrase(batch, pace),
                )

            yield note

    def _bar(self) -> Rich:
        return Rich(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[phrase]}"),
            console=self._console,
        )
