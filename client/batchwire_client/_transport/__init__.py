"""The transport: channel, calls, streams, uploads, retries of both clients."""

from __future__ import annotations
