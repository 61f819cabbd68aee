"""The blocking client."""

from __future__ import annotations
