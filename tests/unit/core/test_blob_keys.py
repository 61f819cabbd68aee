"""Blob keys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import batchwire_server
from batchwire_server.core import blob_keys, ids

SERVER = Path(batchwire_server.__file__).parent


def all_keys() -> list[str]:
    return [
        blob_keys.file_key(ids.file_id()),
        blob_keys.part_key(ids.upload_id(), ids.part_id()),
        blob_keys.segment_key(ids.batch_id(), 12, 3, 0),
    ]


def test_a_key_of_each_kind_is_ours_and_no_variation_of_it_is() -> None:
    for key in all_keys():
        assert blob_keys.is_ours(key)
        for other in (f"x/{key}", f"{key}/x", f"{key}x", key.upper(), key.split("/")[-1], f"{key}\n"):
            assert not blob_keys.is_ours(other)


def test_each_key_starts_with_a_prefix_of_its_own() -> None:
    assert [key.split("/")[0] for key in all_keys()] == list(blob_keys.PREFIXES)


def test_parts_and_segments_are_below_the_prefix_of_their_upload_and_batch() -> None:
    assert blob_keys.part_key("upload_1", "part_1") == f"{blob_keys.parts_prefix('upload_1')}/part_1"
    assert blob_keys.segment_key("batch_1", 1, 2, 3) == f"{blob_keys.segments_prefix('batch_1')}/1-2-3"


KEY_LIKE = re.compile(rf"({'|'.join(blob_keys.PREFIXES)})(/\S*)?")


def spelled_keys(path: Path) -> Iterator[str]:
    """Yield the string literals of a module, and parts of f-strings, that may begin a key."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY_LIKE.fullmatch(node.value):
            yield f"{path.relative_to(SERVER)}:{node.lineno}: {node.value!r}"


def test_no_other_module_of_the_server_spells_a_key_prefix() -> None:
    layout = SERVER / "core" / "blob_keys.py"
    assert len(list(spelled_keys(layout))) >= len(blob_keys.PREFIXES)
    assert [found for path in SERVER.rglob("*.py") if path != layout for found in spelled_keys(path)] == []
