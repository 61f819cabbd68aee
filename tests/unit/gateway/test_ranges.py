"""The selection of content by the headers of a download."""

from __future__ import annotations

import pytest
from batchwire_server.gateway.web.ranges import RangeNotSatisfiableError, Selection, attachment, is_conditional, select
from starlette.datastructures import Headers

ETAG = '"abc"'
WHOLE = Selection(200, 0, 10)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WHOLE),
        ({"range": "bytes=2-4"}, Selection(206, 2, 3)),
        ({"range": "bytes=2-"}, Selection(206, 2, 8)),
        ({"range": "bytes=-3"}, Selection(206, 7, 3)),
        ({"range": "bytes=-99"}, Selection(206, 0, 10)),
        ({"range": "bytes=2-99"}, Selection(206, 2, 8)),
        ({"range": "BYTES=9-9"}, Selection(206, 9, 1)),
        ({"range": "bytes=-"}, WHOLE),
        ({"range": "bytes=4-2"}, WHOLE),
        ({"range": "bytes=0-1,3-4"}, WHOLE),
        ({"range": "lines=0-1"}, WHOLE),
        ({"range": "bytes=2-4", "if-range": ETAG}, Selection(206, 2, 3)),
        ({"range": "bytes=2-4", "if-range": '"old"'}, WHOLE),
        ({"if-none-match": ETAG}, Selection(304, 0, 0)),
        ({"if-none-match": f'"old", W/{ETAG}'}, Selection(304, 0, 0)),
        ({"if-none-match": "*"}, Selection(304, 0, 0)),
        ({"if-none-match": '"old"'}, WHOLE),
        ({"if-none-match": ETAG, "range": "bytes=2-4"}, Selection(304, 0, 0)),
    ],
)
def test_headers_select_the_content(headers: dict[str, str], expected: Selection) -> None:
    assert select(Headers(headers), 10, ETAG) == expected
    assert is_conditional(Headers(headers)) == bool({"range", "if-none-match"} & headers.keys())


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_range_beyond_the_end_is_refused(text: str) -> None:
    with pytest.raises(RangeNotSatisfiableError):
        select(Headers({"range": text}), 10, ETAG)


def test_head_ignores_the_range() -> None:
    assert select(Headers({"range": "bytes=20-"}), 10, ETAG, ranged=False) == WHOLE


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("in.jsonl", 'attachment; filename="in.jsonl"'),
        ('a"b\\c', 'attachment; filename="a\\"b\\\\c"'),
        ("\u20ac", "attachment; filename=\"_\"; filename*=UTF-8''%E2%82%AC"),
    ],
)
def test_attachment_quotes_the_filename(filename: str, expected: str) -> None:
    assert attachment(filename) == expected
