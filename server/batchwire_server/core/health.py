"""The components whose health the server checks and reports."""

from __future__ import annotations

from enum import StrEnum


class Component(StrEnum):
    """A part of an installation, by its service name in gRPC health and its key in `/readyz`."""

    DATABASE = "database"
    BLOBS = "blobs"
    UPSTREAMS = "upstreams"
    WORKERS = "workers"
