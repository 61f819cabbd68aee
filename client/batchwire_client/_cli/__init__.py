"""The `batchwire` command."""

from __future__ import annotations
