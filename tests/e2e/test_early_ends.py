"""Cancelled and expired batches: finished lines are kept, the others get an error."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from batchwire import v1
from batchwire_client import Client, status_word

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.e2e.conftest import Start
from tests.support.invariants import check_ended
from tests.support.lines import chat_file, check_invariants
from tests.support.server import Server, wait_until

LINES = 600
EXPIRED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}
CANCELLED = {"code": "batch_cancelled", "message": "This request was not executed because the batch was cancelled."}


def contents(client: Client, batch: v1.Batch) -> tuple[bytes, bytes]:
    """Return the output and the errors of a batch."""
    read = [
        b"".join(client.files.download(file)) if file else b"" for file in (batch.output_file_id, batch.error_file_id)
    ]
    return read[0], read[1]


def has_completed(client: Client, batch_id: str, lines: int) -> bool:
    """Return whether so many lines of a batch have completed."""
    return client.batches.get(batch_id).request_counts.completed == lines


def hang_after(count: int) -> Callable[[dict[str, Any]], Any]:
    """Return a behaviour that answers `count` calls of each prefix and hangs in all others."""
    answered: Counter[str] = Counter()

    async def behave(request: dict[str, Any]) -> Answer:
        prefix = request["messages"][-1]["content"].partition("-")[0]
        answered[prefix] += 1
        if answered[prefix] > count:
            await asyncio.Event().wait()
        return Answer(body=completion(request))

    return behave


@pytest.mark.parametrize(("windows", "cancel", "word", "error"), [
    (("3s", "10s", "30s"), False, "expired", EXPIRED),
    (("24h",), True, "cancelled", CANCELLED),
])  # fmt: skip
def test_an_early_end_keeps_finished_lines_and_gives_the_others_an_error(
    start: Start,
    upstream_of: Callable[[MockUpstream], MockUpstream],
    windows: tuple[str, ...],
    cancel: bool,
    word: str,
    error: dict[str, str],
) -> None:
    upstream = upstream_of(MockUpstream(behaviour=hang_after(200)))
    server = start("--upstream", upstream.base_url, BATCHWIRE_WORK__CANCEL_GRACE="0.5")
    with Client(server.grpc) as client:
        for window in windows:  # on a busy machine, a short window may end before the first lines have
            content = chat_file(LINES, MODEL, prefix=window)
            batch = client.batches.create(
                client.files.upload(content, filename="in.jsonl").id, completion_window=window
            )
            if cancel:
                wait_until(partial(has_completed, client, batch.id, 200))
                assert status_word(client.batches.cancel(batch.id)) in {"cancelling", "cancelled"}
                client.batches.cancel(batch.id)
            ended = client.batches.wait(batch.id, timeout=60)
            if ended.request_counts.completed == 200:
                break
        seen = check_ended(server.url, batch.id, content)
    assert status_word(ended) == seen.batch["status"] == word
    assert (len(seen.output), len(seen.errors)) == (200, LINES - 200)
    for line in seen.errors:
        assert line["response"] is None
        assert line["error"] == error


def test_a_batch_can_be_cancelled_before_validation(tmp_path: Any) -> None:
    with Server(tmp_path, "--workers", "0") as server, Client(server.grpc) as client:
        file = client.files.upload(chat_file(5), filename="in.jsonl")
        batch = client.batches.create(file.id)
        assert status_word(client.batches.cancel(batch.id)) == "cancelling"
    with Server(tmp_path) as server, Client(server.grpc) as client:
        ended = client.batches.wait(batch.id, timeout=60)
    assert status_word(ended) == "cancelled"
    assert not ended.HasField("output_file_id")
    assert not ended.HasField("error_file_id")
    assert ended.request_counts.total == 0


def test_a_batch_is_completed_if_all_its_lines_failed(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    body = (
        b'{\n  "error": {"message": "no such thing", "type": "invalid_request_error", "param": null, "code": null}\n}'
    )

    async def refuse(_request: dict[str, Any]) -> Answer:
        return Answer(400, body)

    upstream = upstream_of(MockUpstream(behaviour=refuse))
    server = start("--upstream", upstream.base_url)
    with Client(server.grpc) as client:
        file = client.files.upload(chat_file(30, MODEL), filename="in.jsonl")
        ended = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        output, errors = contents(client, ended)
    assert status_word(ended) == "completed"
    assert not ended.HasField("output_file_id")
    assert ended.request_counts.failed == 30
    check_invariants(30, 0, 30, output, errors)
    first = json.loads(errors.splitlines()[0])
    assert first["response"]["status_code"] == 400
    assert first["response"]["body"]["error"]["message"] == "no such thing"
    assert first["error"] is None
    assert len(upstream.calls) == 30, "a refusal is final"


def test_transient_failures_of_lines_are_retried(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    seen: set[str] = set()

    async def fail_once(request: dict[str, Any]) -> Answer:
        text = request["messages"][-1]["content"]
        if text in seen:
            return Answer(body=completion(request))
        seen.add(text)
        number = int(text.removeprefix("line-"))
        return [Answer(503), Answer(429, headers={"retry-after": "0.2"}), Answer(500), Answer(drop=True)][number % 4]

    upstream = upstream_of(MockUpstream(behaviour=fail_once))
    server = start("--upstream", upstream.base_url, BATCHWIRE_WORK__RETRY_BASE="0.05")
    with Client(server.grpc) as client:
        file = client.files.upload(chat_file(60, MODEL), filename="in.jsonl")
        ended = client.batches.wait(client.batches.create(file.id).id, timeout=60)
    assert status_word(ended) == "completed"
    assert ended.request_counts.completed == 60


def test_response_bodies_keep_their_bytes_except_newlines_between_tokens(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    body = '{\r\n  "n": [1e400, 0.10, 123456789012345678901234567890],\n "k": 1, "k": 2, "text": "\\u00e9é\\n\\ud83d"\n}'.encode()
    wanted = body.replace(b"\n", b"").replace(b"\r", b"")

    async def answer(_request: dict[str, Any]) -> Answer:
        return Answer(body=body)

    upstream = upstream_of(MockUpstream(behaviour=answer))
    server = start("--upstream", upstream.base_url)
    with Client(server.grpc) as client:
        file = client.files.upload(chat_file(1, MODEL), filename="in.jsonl")
        ended = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        output, _ = contents(client, ended)
    assert b'"body":' + wanted + b"}" in output
