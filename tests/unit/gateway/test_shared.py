"""Overrides that dialects share."""

from __future__ import annotations

from typing import Any

from batchwire_server.gateway.dialects.shared import decode_metadata, encode_metadata, error_sentences, error_text
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
MARKED = st.text().map(lambda text: f"json:{text}")


@given(st.dictionaries(st.text(), VALUES | MARKED, min_size=1))
def test_metadata_of_any_json_type_round_trips(metadata: dict[str, Any]) -> None:
    kept = encode_metadata({"metadata": metadata})["metadata"]
    assert all(isinstance(value, str) for value in kept.values())
    assert decode_metadata(kept) == metadata


@given(st.text().filter(lambda text: not text.startswith("json:")))
def test_plain_string_is_unchanged(text: str) -> None:
    assert encode_metadata({"metadata": {"a": text}}) == {"metadata": {"a": text}}


def test_empty_metadata_is_null() -> None:
    assert decode_metadata({}) is None
    assert encode_metadata({"endpoint": "x"}) == {"endpoint": "x"}


def test_error_text_has_the_line_if_there_is_one() -> None:
    faults = [{"message": "Bad.", "line": 3}, {"message": "Empty.", "line": None}]
    assert error_sentences(faults) == ["Line 3: Bad.", "Empty."]
    assert error_text(faults) == "Line 3: Bad.\nEmpty."
    assert error_text([]) == ""
