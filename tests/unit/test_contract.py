"""What `proto/` promises, beyond what buf lints and compares."""

from __future__ import annotations

from pathlib import Path

import google.api
import pytest

PROTO = Path(__file__).parents[2] / "proto"
INSTALLED = Path(next(iter(google.api.__path__))).parents[1]
VENDORED = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "google").rglob("*.proto"))


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_proto_is_the_one_that_the_generated_code_was_made_from(name: str) -> None:
    assert (PROTO / name).read_bytes() == (INSTALLED / name).read_bytes(), f"copy {INSTALLED / name} to proto/{name}"
