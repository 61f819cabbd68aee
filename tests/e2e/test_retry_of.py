"""Retry batches (`retry_of`), made from the failed lines of another batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
from batchwire_client import Client, Conflict, InvalidRequest, NotFound, status_word

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.e2e.conftest import Start
from tests.support.lines import chat_line, ids_of, jsonl
from tests.support.server import Server

LINES = 700


class FailingUntilFixed:
    """Answers every third line with 400 while `enabled`."""

    def __init__(self) -> None:
        self.enabled = True

    async def __call__(self, request: dict[str, Any]) -> Answer:
        number = int(request["messages"][-1]["content"])
        if self.enabled and number % 3 == 0:
            return Answer(400, b'{"error":{"message":"no"}}')
        return Answer(body=completion(request))


@pytest.fixture
def failing() -> FailingUntilFixed:
    return FailingUntilFixed()


@pytest.fixture
def server(start: Start, upstream_of: Callable[[MockUpstream], MockUpstream], failing: FailingUntilFixed) -> Server:
    return start("--upstream", upstream_of(MockUpstream(behaviour=failing)).base_url)


def content(count: int = LINES) -> bytes:
    """Return lines with a byte order mark and blank lines, which must not shift line numbers."""
    lines = jsonl(chat_line(f"id-{number}", str(number), MODEL) for number in range(count)).splitlines(keepends=True)
    return b"\xef\xbb\xbf" + b"\r\n".join(lines)


def test_a_retry_runs_only_the_failed_lines_under_their_custom_ids(server: Server, failing: FailingUntilFixed) -> None:
    with Client(server.grpc) as client:
        file = client.files.upload(content(), filename="in.jsonl")
        first = client.batches.wait(client.batches.create(file.id, metadata={"team": "a"}).id, timeout=60)
        failed = [f"id-{number}" for number in range(0, LINES, 3)]
        assert ids_of(b"".join(client.files.download(first.error_file_id))) == failed
        again = client.batches.wait(client.batches.retry(first).id, timeout=60)
        assert (again.request_counts.total, again.request_counts.failed) == (len(failed), len(failed))
        failing.enabled = False
        last = client.batches.wait(client.batches.retry(again.id, completion_window="2h").id, timeout=60)
        assert ids_of(b"".join(client.files.download(last.output_file_id))) == failed
        assert (last.retry_of, again.retry_of, first.HasField("retry_of")) == (again.id, first.id, False)
        assert (again.completion_window, last.completion_window, last.endpoint) == ("24h", "2h", first.endpoint)
        made = client.files.get(last.input_file_id)
        assert (made.filename, made.purpose, made.line_count) == (f"{again.id}_retry.jsonl", "batch", len(failed))
        sent = b"".join(client.files.download(last.input_file_id)).splitlines()
        assert sent == [line for line in content().removeprefix(b"\xef\xbb\xbf").splitlines() if line][::3]


def test_a_retry_over_rest_needs_only_retry_of(server: Server, failing: FailingUntilFixed) -> None:
    with Client(server.grpc) as client:
        file = client.files.upload(content(6), filename="in.jsonl")
        first = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        failing.enabled = False
        headers = {"Idempotency-Key": "again"}
        made = [
            requests.post(f"{server.url}/v1/batches", json={"retry_of": first.id}, headers=headers, timeout=30).json()
            for _ in range(2)
        ]
        assert made[0]["id"] == made[1]["id"]
        assert made[0]["endpoint"] == first.endpoint
        assert client.batches.wait(made[0]["id"], timeout=60).request_counts.completed == 2
        # The second call created an input file without a batch.
        assert len([file for file in client.files.list() if file.filename.endswith("_retry.jsonl")]) == 1


def test_a_batch_that_cannot_be_retried_is_refused(server: Server) -> None:
    with Client(server.grpc) as client:
        file = client.files.upload(content(6), filename="in.jsonl")
        first = client.batches.wait(client.batches.create(file.id).id, timeout=60)
        for name, value in (("endpoint", "/v1/embeddings"), ("input_file_id", "file-other")):
            recorded = {"retry_of": first.id, name: value}
            answer = requests.post(f"{server.url}/v1/batches", json=recorded, timeout=30)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
        with pytest.raises(InvalidRequest, match="Invalid value: '1w'"):
            client.batches.retry(first, completion_window="1w")
        fine = client.files.upload(jsonl([chat_line("a", "1", MODEL)]), filename="in.jsonl")
        done = client.batches.wait(client.batches.create(fine.id).id, timeout=60)
        assert status_word(done) == "completed"
        with pytest.raises(Conflict, match="none of its lines failed"):
            client.batches.retry(done)
        wrong = client.batches.wait(client.batches.create(file.id, "/v1/embeddings").id, timeout=60)
        with pytest.raises(Conflict, match="no line of it ran"):
            client.batches.retry(wrong)
        client.files.delete(first.error_file_id)
        with pytest.raises(Conflict, match="error file"):
            client.batches.retry(first)
        with pytest.raises(NotFound):
            client.batches.retry("batch_none")
        assert not [file for file in client.files.list() if file.filename.endswith("_retry.jsonl")]


def test_a_running_batch_cannot_be_retried(start: Start) -> None:
    server = start("--workers", "0")
    with Client(server.grpc) as client:
        batch = client.batches.create(client.files.upload(content(3), filename="in.jsonl").id)
        with pytest.raises(Conflict, match="has not ended"):
            client.batches.retry(batch)
