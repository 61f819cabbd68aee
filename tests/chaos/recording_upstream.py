"""An upstream that records when it received and answered the call of each line."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.upstream import Answer, MockUpstream, completion


@dataclass(slots=True)
class Call:
    """A call of a line.

    Times are of the monotonic clock; `answered_at` is None until it got a 200.
    """

    line: str
    received_at: float
    answered_at: float | None = None


class RecordingUpstream:
    """A mock upstream in a thread of its own, which can stop serving and resume.

    Args:
        low, high: range of the latency, in seconds; uniformly distributed.
    """

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._random = random.Random(11)
        self._upstream = MockUpstream(behaviour=self._answer)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.calls: list[Call] = []
        self.down = False

    async def _answer(self, request: dict[str, Any]) -> Answer:
        call = Call(request["messages"][-1]["content"], time.monotonic())
        self.calls.append(call)
        await asyncio.sleep(self._random.uniform(self._low, self._high))
        if self.down:
            return Answer(drop=True)

        def sent() -> None:
            call.answered_at = time.monotonic()

        return Answer(body=completion(request), sent=sent)

    def stop_serving(self) -> None:
        """Drop all connections and refuse new ones."""
        self.down = True
        self._do(self._stop_listening())

    def resume(self) -> None:
        """Listen again at the same port."""
        self.down = False
        self._do(self._upstream.listen(self._upstream.port))

    async def _stop_listening(self) -> None:
        await self._upstream.__aexit__(None, None, None)

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def base_url(self) -> str:
        """The value for `--upstream`."""
        return self._upstream.base_url

    def calls_by_line(self) -> dict[str, list[Call]]:
        """Return the calls of each line, in order of arrival."""
        found: dict[str, list[Call]] = defaultdict(list)
        for call in list(self.calls):
            found[call.line].append(call)
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._upstream.listen(0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._stop_listening())
        self._do(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
