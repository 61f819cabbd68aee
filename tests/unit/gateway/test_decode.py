"""Decoding of JSON bodies and of text."""

from __future__ import annotations

import pytest
from batchwire import v1
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.decode import fill, json_object, parse_text
from google.protobuf.message import Message


def parse_body(body: bytes, message: Message) -> None:
    fill(message, json_object(body))


def test_body_fills_every_kind_of_field() -> None:
    message = v1.CreateUploadRequest()
    parse_body(
        b'\xef\xbb\xbf{"bytes": 9, "filename": "\xc3\xa9", "expires_after": {"seconds": 3600, "x": 1}, "x": [{}]}',
        message,
    )
    assert message == v1.CreateUploadRequest(bytes=9, filename="é", expires_after=v1.ExpiresAfter(seconds=3600))
    complete = v1.CompleteUploadRequest()
    parse_body(b'{"part_ids": ["a", "b"], "md5": null}', complete)
    assert complete == v1.CompleteUploadRequest(part_ids=["a", "b"])


@pytest.mark.parametrize("body", [b"", b"  \n", b"{}", b'{"metadata": null}'])
def test_empty_bodies_and_nulls_fill_nothing(body: bytes) -> None:
    message = v1.CreateBatchRequest()
    parse_body(body, message)
    assert message == v1.CreateBatchRequest()


def test_empty_object_sets_its_field() -> None:
    message = v1.CreateBatchRequest()
    parse_body(b'{"output_expires_after": {}}', message)
    assert message.HasField("output_expires_after")


@pytest.mark.parametrize("body", [b"{", b"nan", b'{"a": NaN}', b'{"endpoint": "\xff"}', b"[" * 100_000, b'"\\ud800"'])
def test_body_that_is_no_json_is_refused_with_openais_hint(body: bytes) -> None:
    with pytest.raises(ApiError, match="We could not parse the JSON body of your request") as refused:
        parse_body(body, v1.CreateBatchRequest())
    assert (refused.value.status, refused.value.code) == (400, None)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"[]", None, "Invalid type: expected an object, but got an array instead."),
        (b'{"endpoint": 1}', "endpoint", "Invalid type for 'endpoint': expected a string, but got an integer instead."),
        (
            b'{"endpoint": 1.5}',
            "endpoint",
            "Invalid type for 'endpoint': expected a string, but got a decimal number instead.",
        ),
        (
            b'{"endpoint": true}',
            "endpoint",
            "Invalid type for 'endpoint': expected a string, but got a boolean instead.",
        ),
        (
            b'{"metadata": "a"}',
            "metadata",
            "Invalid type for 'metadata': expected an object, but got a string instead.",
        ),
        (
            b'{"metadata": {"tags": ["a"]}}',
            "metadata.tags",
            "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
        ),
        (
            b'{"metadata": {"tags": null}}',
            "metadata.tags",
            "Invalid type for 'metadata.tags': expected a string, but got null instead.",
        ),
        (
            b'{"output_expires_after": {"seconds": true}}',
            "output_expires_after.seconds",
            "Invalid type for 'output_expires_after.seconds': expected an integer, but got a boolean instead.",
        ),
    ],
)
def test_wrong_type_is_refused_with_openais_message(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_body(body, v1.CreateBatchRequest())
    assert (refused.value.message, refused.value.param, refused.value.code) == (message, param, "invalid_type")


def test_list_item_of_the_wrong_type_is_named_by_its_index() -> None:
    with pytest.raises(ApiError, match="expected a string, but got an object") as refused:
        parse_body(b'{"part_ids": ["a", {}]}', v1.CompleteUploadRequest())
    assert refused.value.param == "part_ids[1]"


def test_number_out_of_range_is_an_invalid_value() -> None:
    with pytest.raises(ApiError, match="out of range") as refused:
        parse_text(v1.ListFilesRequest(), "limit", "99999999999")
    assert (refused.value.param, refused.value.code) == ("limit", "invalid_value")


@pytest.mark.parametrize("text", ["many", "1.5", " 1", "1_0", "٣", "0x1"])
def test_text_that_is_no_number_is_an_invalid_type(text: str) -> None:
    with pytest.raises(ApiError, match="expected an integer, but got a string") as refused:
        parse_text(v1.ListFilesRequest(), "limit", text)
    assert (refused.value.param, refused.value.code) == ("limit", "invalid_type")


def test_unknown_enum_value_is_refused_with_the_supported_values() -> None:
    with pytest.raises(ApiError) as refused:
        parse_text(v1.ListFilesRequest(), "order", "up")
    assert refused.value.message == "Invalid value: 'up'. Supported values are: 'asc' and 'desc'."
    assert (refused.value.param, refused.value.code) == ("order", "invalid_value")


def test_text_fills_fields_and_fields_of_messages() -> None:
    files = v1.ListFilesRequest()
    for name, text in {"limit": "-5", "order": "desc", "after": "", "nothing": "x", "a[b]": "x", "[": "x"}.items():
        parse_text(files, name, text)
    assert files == v1.ListFilesRequest(limit=-5, order=v1.LIST_ORDER_DESC)
    spec = v1.UploadFileSpec()
    for name, text in {
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "60",
        "purpose[x]": "y",
    }.items():
        parse_text(spec, name, text)
    assert spec == v1.UploadFileSpec(expires_after=v1.ExpiresAfter(anchor="created_at", seconds=60))
