"""Encoding of messages as OpenAI's JSON."""

from __future__ import annotations

from batchwire import v1
from batchwire_server.gateway.dialects import OPENAI
from batchwire_server.gateway.transcoding.descriptors import enum_names
from google.protobuf.timestamp_pb2 import Timestamp

render = OPENAI.response_mapping.render


def test_every_status_has_its_json_name() -> None:
    names = {
        v1.Batch(status=status).status: render(v1.Batch(status=status))["status"] for status in v1.BatchStatus.values()
    }
    assert names == {
        0: None,
        1: "validating",
        2: "failed",
        3: "in_progress",
        4: "finalizing",
        5: "completed",
        6: "expired",
        7: "cancelling",
        8: "cancelled",
    }
    assert dict(enum_names(v1.ListOrder.DESCRIPTOR)) == {1: "asc", 2: "desc"}


def test_errors_are_a_list_object_or_null() -> None:
    error = v1.BatchError(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=3)
    assert render(v1.Batch(errors=[error]))["errors"] == {
        "object": "list",
        "data": [
            {
                "code": "invalid_json_line",
                "message": "This line is not parseable as valid JSON.",
                "param": None,
                "line": 3,
            }
        ],
    }
    assert render(v1.Batch())["errors"] is None


def test_unset_is_null_and_zero_is_zero() -> None:
    assert render(v1.Batch())["created_at"] is None
    assert render(v1.Batch(created_at=Timestamp(seconds=7, nanos=999)))["created_at"] == 7
    assert render(v1.Model(id="m", created=Timestamp()))["created"] == 0
    assert render(v1.Batch())["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert render(v1.Batch())["usage"]["input_tokens_details"] == {"cached_tokens": 0}


def test_metadata_is_null_when_empty() -> None:
    assert render(v1.Batch())["metadata"] is None
    assert render(v1.Batch(metadata={"a": "b"}))["metadata"] == {"a": "b"}


def test_nested_file_is_a_file_object() -> None:
    assert render(v1.Upload(file=v1.File(id="file-1")))["file"]["object"] == "file"
    assert render(v1.Upload())["file"] is None


def test_every_reply_of_the_protocol_renders_with_an_object_key() -> None:
    replies = [v1.Batch, v1.DeleteFileResponse, v1.File, v1.Model, v1.Upload, v1.UploadPart]
    lists = [v1.ListBatchesResponse, v1.ListFilesResponse, v1.ListModelsResponse]
    assert all(render(reply())["object"] for reply in replies)
    assert all(render(each())["object"] == "list" for each in lists)
