"""Runs a role whose clock is ahead: `python -m tests.chaos.clock_ahead SECONDS worker --data-dir …`."""

from __future__ import annotations

import sys
import time

AHEAD_S = float(sys.argv.pop(1))
_true_time = time.time
time.time = lambda: _true_time() + AHEAD_S  # before anything that might keep the function

from batchwire_server.__main__ import main  # noqa: E402 - see above

if __name__ == "__main__":
    main()
