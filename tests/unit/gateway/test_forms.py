"""Transcoding of a form's parts into messages."""

from __future__ import annotations

from typing import Any

import pytest
from batchwire import v1
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.transcoding.forms import (
    MAX_FIELD_BYTES,
    MESSAGE_BYTES,
    FormLayout,
    FormRelay,
    form_layout,
)
from batchwire_server.gateway.web.multipart import Event, PartBegins, PartData, PartEnds
from google.protobuf.message import Message

FILE: list[Event] = [PartBegins("file", "in.jsonl"), PartData(b"{}\n"), PartEnds()]
PURPOSE: list[Event] = [PartBegins("purpose", None), PartData(b"ba"), PartData(b"tch"), PartEnds()]


async def relayed(request: Message, events: list[Event]) -> list[Any]:
    """Return the messages that a relay writes for a form."""
    written: list[Any] = []

    async def write(message: Message) -> None:
        written.append(message)

    relay = FormRelay(request, write, lambda kind: kind())
    await relay.start()
    for event in events:
        await relay.handle(event)
    await relay.finish()
    return written


def test_layout_follows_from_the_request() -> None:
    assert form_layout(v1.UploadFileRequest()) == FormLayout("data", "spec", "file")
    assert form_layout(v1.AddUploadPartRequest()) == FormLayout("data", None, "data")


async def test_description_precedes_the_content_if_it_is_known() -> None:
    spec = v1.UploadFileSpec(filename="in.jsonl", purpose="batch")
    assert await relayed(v1.UploadFileRequest(), [*PURPOSE, *FILE]) == [
        v1.UploadFileRequest(spec=spec),
        v1.UploadFileRequest(data=b"{}\n"),
    ]


async def test_description_is_repeated_after_the_content_if_it_changed() -> None:
    assert await relayed(v1.UploadFileRequest(), [*FILE, *PURPOSE]) == [
        v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in.jsonl")),
        v1.UploadFileRequest(data=b"{}\n"),
        v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in.jsonl", purpose="batch")),
    ]


async def test_path_variable_is_written_first() -> None:
    events: list[Event] = [PartBegins("data", None), PartData(b"x"), PartEnds()]
    assert await relayed(v1.AddUploadPartRequest(upload_id="u"), events) == [
        v1.AddUploadPartRequest(upload_id="u"),
        v1.AddUploadPartRequest(data=b"x"),
    ]


@pytest.mark.parametrize("chunk_bytes", [100, MESSAGE_BYTES - 1, 3 * MESSAGE_BYTES])
async def test_content_is_written_in_messages_of_bounded_size(chunk_bytes: int) -> None:
    content = bytes(3 * MESSAGE_BYTES)
    chunks: list[Event] = [PartData(content[at : at + chunk_bytes]) for at in range(0, len(content), chunk_bytes)]
    messages = await relayed(v1.UploadFileRequest(), [PartBegins("file", None), *chunks, PartEnds()])
    sizes = [len(message.data) for message in messages if message.data]
    assert sum(sizes) == len(content)
    assert all(MESSAGE_BYTES <= size < 2 * MESSAGE_BYTES for size in sizes[:-1])
    assert messages[0].spec.filename == "upload"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (PURPOSE, "'file' is a required property"),
        ([*FILE, *FILE], "Only one 'file' is allowed"),
        ([PartBegins("purpose", None), PartData(bytes(MAX_FIELD_BYTES + 1))], "'purpose' is longer than"),
    ],
)
async def test_forms_that_break_the_rules_are_refused(events: list[Event], message: str) -> None:
    with pytest.raises(ApiError, match=message):
        await relayed(v1.UploadFileRequest(), events)
