"""Checks of request fields."""

from __future__ import annotations

import pytest
from batchwire_server.core.errors import BatchwireError
from batchwire_server.core.limits import UPLOAD_PURPOSES
from batchwire_server.service.checks import check_length, check_lifetime, check_limit, check_purpose, clean_filename


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("in.jsonl", "in.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\in.jsonl", "in.jsonl"),
        ("a\0b\nc", "abc"),
        ("ü€", "ü€"),
        ("folder/", ""),
        ("x" * 300, "x" * 255),
    ],
)
def test_a_filename_loses_folders_and_control_characters(given: str, cleaned: str) -> None:
    assert clean_filename(given) == cleaned


@pytest.mark.parametrize(("limit", "size"), [(None, 20), (1, 1), (100, 100)])
def test_a_limit_within_bounds_is_the_page_size(limit: int | None, size: int) -> None:
    assert check_limit(limit, 100, 20) == size


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_a_limit_out_of_bounds_is_refused(limit: int) -> None:
    with pytest.raises(BatchwireError, match="from 1 to 100"):
        check_limit(limit, 100, 20)


@pytest.mark.parametrize("purpose", ["", *UPLOAD_PURPOSES])
def test_purposes_of_uploads_pass(purpose: str) -> None:
    check_purpose(purpose)


def test_other_purposes_are_refused() -> None:
    with pytest.raises(BatchwireError, match="'batch_output' is not one of"):
        check_purpose("batch_output")


@pytest.mark.parametrize("seconds", [3600, 2_592_000])
def test_the_shortest_and_the_longest_lifetime_pass(seconds: int) -> None:
    assert check_lifetime("p", "", seconds) == check_lifetime("p", "created_at", seconds) == seconds


def test_a_text_of_the_greatest_length_passes_and_a_longer_one_is_refused() -> None:
    check_length("name", "x" * 5, 5)
    with pytest.raises(BatchwireError, match="maximum length 5"):
        check_length("name", "x" * 6, 5)
