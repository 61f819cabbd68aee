"""The commands, by resource."""

from __future__ import annotations
