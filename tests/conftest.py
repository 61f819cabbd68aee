"""Settings of the test runner.

Hypothesis tries the same cases on every run, unless `HYPOTHESIS_PROFILE=hunt` asks for many new
ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", derandomize=True, deadline=None)
settings.register_profile(
    "hunt", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_xdist_auto_num_workers() -> int:
    """Return two processes for each processor: half of the time, tests wait for servers."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)  # after the tests were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest folder first, so that no process ends with a long module on its own."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)
