"""The resources of the client for asyncio."""

from __future__ import annotations
