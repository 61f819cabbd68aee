"""Completion windows."""

from __future__ import annotations

import pytest
from batchwire_server.core.completion_window import MAX_SECONDS, parse_window
from batchwire_server.core.errors import BatchwireError, Reason
from hypothesis import given
from hypothesis import strategies as st

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1s", 1), ("90m", 5400), ("14d", 336 * 3600), ("336h", 336 * 3600)]
)
def test_an_integer_and_a_unit_are_a_window(text: str, seconds: int) -> None:
    assert parse_window(text) == seconds


@given(st.integers(1, MAX_SECONDS * 2), st.sampled_from(sorted(UNITS)))
def test_windows_up_to_336_hours_are_valid_and_longer_ones_refused(count: int, unit: str) -> None:
    seconds = count * UNITS[unit]
    if seconds <= MAX_SECONDS:
        assert parse_window(f"{count}{unit}") == seconds
    else:
        with pytest.raises(BatchwireError):
            parse_window(f"{count}{unit}")


@pytest.mark.parametrize(
    "text",
    [
        "24",
        "h",
        "0h",
        "-1h",
        "1.5h",
        "24H",
        " 24h",
        "24h ",
        "24h\n",
        "1w",
        "٢h",
        "024h",
        "15d",
        "337h",
        "9" * 5000 + "s",
    ],
)
def test_anything_else_is_an_invalid_value(text: str) -> None:
    with pytest.raises(BatchwireError) as caught:
        parse_window(text)
    assert caught.value.reason is Reason.INVALID_VALUE
    assert caught.value.details["param"] == "completion_window"
    assert "'24h'" in caught.value.message


def test_an_empty_window_is_a_missing_parameter() -> None:
    with pytest.raises(BatchwireError) as caught:
        parse_window("")
    assert caught.value.reason is Reason.MISSING_REQUIRED_PARAMETER
    assert caught.value.message == "Missing required parameter: 'completion_window'."
