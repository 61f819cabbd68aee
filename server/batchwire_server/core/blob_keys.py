"""The layout of blob keys. No other module knows it.

    files/<file id>                                 a file: an input, an output or an error file
    uploads/<upload id>/<part id>                   a part of an upload
    segments/<batch id>/<task id>-<epoch>-<number>  a segment of a shard

A segment's key contains the epoch of its claim. A worker that has lost its lease therefore cannot
overwrite a segment of the next holder.
"""

from __future__ import annotations

import re

FILES = "files"
UPLOADS = "uploads"
SEGMENTS = "segments"

PREFIXES = (FILES, UPLOADS, SEGMENTS)
"""The first words of all keys."""

_KEY = re.compile(
    rf"{FILES}/file-[0-9a-f]{{24}}"
    rf"|{UPLOADS}/upload_[0-9a-f]{{24}}/part_[0-9a-f]{{24}}"
    rf"|{SEGMENTS}/batch_[0-9a-f]{{32}}/\d+-\d+-\d+"
)


def file_key(file_id: str) -> str:
    """Return the key of a file."""
    return f"{FILES}/{file_id}"


def parts_prefix(upload_id: str) -> str:
    """Return the prefix that the parts of an upload share."""
    return f"{UPLOADS}/{upload_id}"


def part_key(upload_id: str, part_id: str) -> str:
    """Return the key of a part of an upload."""
    return f"{parts_prefix(upload_id)}/{part_id}"


def segments_prefix(batch_id: str) -> str:
    """Return the prefix that the segments of a batch share."""
    return f"{SEGMENTS}/{batch_id}"


def segment_key(batch_id: str, task_id: int, epoch: int, number: int) -> str:
    """Return the key of a segment: the `number`-th that a claim of a shard wrote, from 0."""
    return f"{segments_prefix(batch_id)}/{task_id}-{epoch}-{number}"


def is_ours(key: str) -> bool:
    """Return whether a key has one of the shapes above, so that the server may delete its blob."""
    return _KEY.fullmatch(key) is not None
