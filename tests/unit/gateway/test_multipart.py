"""The parser of multipart forms."""

from __future__ import annotations

import itertools

import pytest
from batchwire_server.gateway.web.multipart import (
    MalformedFormError,
    MultipartReader,
    NotAFormError,
    PartBegins,
    PartData,
    PartEnds,
    boundary_of,
)
from hypothesis import given
from hypothesis import strategies as st

BODY = (
    b"--b0\r\nContent-Disposition: form-data; name=purpose\r\n\r\nbatch\r\n"
    b'--b0\r\ncontent-disposition: attachment; filename="a \\"b\\".jsonl"; name="file"\r\nX-Other: 1\r\n\r\n'
    b"one\r\n--b\r\n--b0x\r\n\r--\r\ntwo\r\n--b0--\r\nepilogue"
)
PARTS = [("purpose", None, b"batch"), ("file", 'a "b".jsonl', b"one\r\n--b\r\n--b0x\r\n\r--\r\ntwo")]


def parts_of(reader: MultipartReader, pieces: list[bytes]) -> list[tuple[str, str | None, bytes]]:
    parts: list[tuple[str, str | None, bytes]] = []
    open_part = False
    for piece in pieces:
        for event in reader.feed(piece):
            match event:
                case PartBegins(name, filename):
                    parts.append((name, filename, b""))
                    open_part = True
                case PartData(data):
                    assert open_part
                    name, filename, content = parts.pop()
                    parts.append((name, filename, content + data))
                case PartEnds():
                    open_part = False
    return parts


@given(cuts=st.lists(st.integers(0, len(BODY))), boundary=st.sampled_from([b"b0", None]))
def test_parts_do_not_depend_on_chunk_boundaries(cuts: list[int], boundary: bytes | None) -> None:
    at = [0, *sorted(cuts), len(BODY)]
    reader = MultipartReader(boundary)
    assert parts_of(reader, [BODY[start:end] for start, end in itertools.pairwise(at)]) == PARTS
    assert reader.complete


@given(length=st.integers(0, BODY.index(b"\r\nepilogue") - 1))
def test_form_without_its_last_boundary_is_incomplete(length: int) -> None:
    reader = MultipartReader(b"b0")
    reader.feed(BODY[:length])
    assert not reader.complete
    assert reader.empty == (length == 0)


@pytest.mark.parametrize(
    ("disposition", "name", "filename"),
    [
        ("form-data; name=a", "a", None),
        ('form-data; name="a"; filename=""', "a", ""),
        ("form-data; name=a; filename*=UTF-8''%e2%82%ac.jsonl", "a", "€.jsonl"),
        ("form-data; name=a; filename=plain; filename*=iso-8859-1'en'%E9", "a", "é"),
        ("form-data; name=a; filename=plain; filename*=utf-8''%FF", "a", "plain"),
        ("form-data; name=a; filename=plain; filename*=no-such''x", "a", "plain"),
        ('form-data; name=a; filename="é.jsonl"', "a", "é.jsonl"),
        ("", "", None),
    ],
)
def test_part_has_the_names_in_its_header(disposition: str, name: str, filename: str | None) -> None:
    reader = MultipartReader(b"b")
    events = reader.feed(f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode())
    assert events == [PartBegins(name, filename)]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('application/json; charset=utf-8; boundary="a b"', b"a b"),
        ("application/json", None),
        ("multipart/form-data; boundary=", None),
        ("", None),
    ],
)
def test_boundary_is_read_from_any_content_type(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("body", [b"{}", b"x", b"-x", b"--\r\n", b"-" * 200, b"file=1&purpose=batch"])
def test_body_without_a_first_boundary_is_no_form(body: bytes) -> None:
    with pytest.raises(NotAFormError):
        MultipartReader(None).feed(body)


def test_boundary_that_is_too_long_is_malformed() -> None:
    with pytest.raises(MalformedFormError):
        MultipartReader(b"x" * 1000)
