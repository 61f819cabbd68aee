"""Run a role with a clock that is ahead: `python -m tests.chaos.clock_ahead SECONDS worker …`."""

from __future__ import annotations

import sys
import time

AHEAD_S = float(sys.argv.pop(1))
_real_time = time.time
time.time = lambda: _real_time() + AHEAD_S  # before any module binds the function

from batchwire_server.__main__ import main  # noqa: E402 - the clock is replaced first

if __name__ == "__main__":
    main()
