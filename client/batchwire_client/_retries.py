"""How long to keep trying: pauses as plain numbers, without a clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import SystemRandom

_chance = SystemRandom().random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow up to a limit, each shortened by chance so that clients do not come back in step.

    Attributes:
        first: Seconds of the first pause.
        factor: How much longer each pause is than the one before.
        longest: Seconds of the longest pause.
        tries: How often to try in all; 1 means never again.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 2.0
    tries: int = 5

    def pauses(self, chance: Callable[[], float] = _chance) -> Iterator[float]:
        """The seconds to wait before each further try; ends when there is to be none.

        Args:
            chance: Gives numbers from 0 to 1; a pause is shortened by up to half by it.
        """
        pause = self.first
        for _ in range(self.tries - 1):
            yield min(pause, self.longest) * (1 - chance() / 2)
            pause = min(pause * self.factor, self.longest)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a client keeps trying.

    Attributes:
        calls: For calls that may be repeated, and for the first dialling of a stream.
        streams: For a stream that had begun and broke: by default about six minutes, enough for a server to restart.
        silence: Seconds without a message after which a stream is taken for dead and dialled again.
    """

    calls: Backoff = Backoff()
    streams: Backoff = Backoff(longest=10.0, tries=50)
    silence: float = 60.0
