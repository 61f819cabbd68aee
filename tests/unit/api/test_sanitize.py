"""Requests with NUL characters are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from batchwire import v1
from batchwire_server.api.sanitize import checked, checked_stream
from batchwire_server.core.errors import BatchwireError
from google.protobuf.message import Message


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (v1.GetFileRequest(file_id="\0"), "file_id"),
        (v1.ListFilesRequest(after="file-\0"), "after"),
        (v1.CreateBatchRequest(metadata={"a": "b\0"}), "metadata"),
        (v1.CreateBatchRequest(metadata={"a\0": "b"}), "metadata"),
        (v1.CreateBatchRequest(replace=v1.Replace(model="a\0b")), "replace.model"),
        (v1.CompleteUploadRequest(part_ids=["a", "b\0"]), "part_ids"),
        (v1.UploadFileRequest(spec=v1.UploadFileSpec(purpose="batch\0")), "spec.purpose"),
    ],
)
def test_a_field_with_a_nul_is_named(request_: Message, param: str) -> None:
    with pytest.raises(BatchwireError) as refused:
        checked(request_)
    assert (refused.value.reason, refused.value.details["param"]) == ("INVALID_VALUE", param)


@pytest.mark.parametrize(
    "request_",
    [
        v1.GetFileRequest(file_id="file-1\n\x01ü"),
        v1.CreateBatchRequest(metadata={"a": "b"}, replace=v1.Replace(model="m"), require_input_file=True),
        v1.UploadFileRequest(data=b"\0"),
        v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in\0.jsonl")),  # cleaned later
    ],
)
def test_other_requests_pass(request_: Message) -> None:
    assert checked(request_) is request_


async def test_a_stream_passes_up_to_the_first_request_with_a_nul() -> None:
    async def requests() -> AsyncIterator[v1.AddUploadPartRequest]:
        yield v1.AddUploadPartRequest(data=b"\0")
        yield v1.AddUploadPartRequest(upload_id="\0")

    stream = checked_stream(requests())
    assert await anext(stream) == v1.AddUploadPartRequest(data=b"\0")
    with pytest.raises(BatchwireError):
        await anext(stream)
