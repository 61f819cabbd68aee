"""Settings of hypothesis for the pure rules of the core: no deadline, fewer examples."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("batchwire", deadline=None, max_examples=60)
settings.load_profile("batchwire")
