"""Adds up what parallel parts have sent."""

import threading

from batchwire_client._bytes import Progress


class Tally:
    """Tells one progress for many parts, from any thread; a part that is sent again counts from its start."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._sent: dict[int, int] = {}
        self._lock = threading.Lock()

    def of(self, number: int) -> Progress:
        """The progress of one part."""

        def note(sent: int, _size: int | None) -> None:
            with self._lock:
                self._sent[number] = sent
                if self._progress is not None:
                    self._progress(sum(self._sent.values()), self._total)

        return note
