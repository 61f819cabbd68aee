"""Webhook endpoints: fields that are checked, secrets that are rotated, and the sample event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from batchwire_server.core.errors import BatchwireError, Reason
from batchwire_server.core.webhooks import EVENT_TYPES
from batchwire_server.service.webhooks import Webhooks

from tests.ports.memory_harness import MemoryHarness

URL = "https://example.com/hook"
TYPES = ("batch.completed",)


class Sender:
    """A sender that keeps what it posts, and answers 204."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Mapping[str, str], bytes]] = []

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.posts.append((url, headers, body))
        return 204


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def webhooks(sender: Sender) -> Webhooks:
    return Webhooks(MemoryHarness().store, sender, private=False)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": ""}, Reason.MISSING_REQUIRED_PARAMETER),
        ({"url": ""}, Reason.MISSING_REQUIRED_PARAMETER),
        ({"event_types": ()}, Reason.MISSING_REQUIRED_PARAMETER),
        ({"name": "x" * 257}, Reason.ABOVE_MAX_LENGTH),
        ({"url": f"{URL}?{'x' * 2048}"}, Reason.ABOVE_MAX_LENGTH),
        ({"url": "http://example.com"}, Reason.INVALID_VALUE),
        ({"url": "https://127.0.0.1"}, Reason.INVALID_VALUE),
        ({"event_types": ("batch.unknown",)}, Reason.INVALID_VALUE),
    ],
)
async def test_an_endpoint_with_an_invalid_field_is_refused(
    webhooks: Webhooks, fields: dict[str, Any], reason: Reason
) -> None:
    with pytest.raises(BatchwireError) as refused:
        await webhooks.create("t", **{"name": "n", "url": URL, "event_types": TYPES, **fields})
    assert refused.value.reason is reason


async def test_an_update_changes_only_the_fields_that_are_given(webhooks: Webhooks) -> None:
    created = await webhooks.create("t", "n", URL, TYPES)
    renamed = await webhooks.update("t", created.id, "m", "", ())
    assert (renamed.name, renamed.url, renamed.event_types) == ("m", URL, TYPES)
    with pytest.raises(BatchwireError, match="No webhook endpoint"):
        await webhooks.update("another", created.id, "x", "", ())


@pytest.mark.parametrize("keep_old", [True, False])
async def test_a_rotated_secret_is_new_and_the_old_one_is_kept_on_request(webhooks: Webhooks, keep_old: bool) -> None:
    created = await webhooks.create("t", "n", URL, TYPES)
    rotated = await webhooks.rotate_secret("t", created.id, keep_old=keep_old)
    assert rotated.secret != created.secret
    assert rotated.old_secret == (created.secret if keep_old else None)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_a_sample_event_is_signed_and_posted_once(webhooks: Webhooks, sender: Sender, event_type: str) -> None:
    created = await webhooks.create("t", "n", URL, TYPES)
    assert await webhooks.test("t", created.id, event_type) == 204
    (url, headers, body) = sender.posts.pop()
    assert (url, json.loads(body)["type"], not sender.posts) == (URL, event_type, True)
    assert headers["webhook-signature"].startswith("v1,")


async def test_a_sample_of_an_unknown_event_is_refused(webhooks: Webhooks, sender: Sender) -> None:
    created = await webhooks.create("t", "n", URL, TYPES)
    with pytest.raises(BatchwireError, match="Supported values"):
        await webhooks.test("t", created.id, "batch.unknown")
    assert sender.posts == []


async def test_a_deleted_endpoint_is_gone(webhooks: Webhooks) -> None:
    created = await webhooks.create("t", "n", URL, TYPES)
    await webhooks.delete("t", created.id)
    assert (await webhooks.list("t")).items == []
    with pytest.raises(BatchwireError, match="No webhook endpoint"):
        await webhooks.delete("t", created.id)
