"""The resources of the blocking client."""

from __future__ import annotations
