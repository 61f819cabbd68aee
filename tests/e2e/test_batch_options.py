"""Options of a batch beyond OpenAI's API, over gRPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from batchwire import v1
from batchwire_client import Client, status_word

from bench.upstream import MODEL, Answer, MockUpstream, completion
from tests.e2e.conftest import Start
from tests.support.lines import chat_line, jsonl
from tests.support.server import Server

CHAT = "/v1/chat/completions"


@pytest.fixture
def recorded(start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]) -> tuple[Server, list[dict[str, Any]]]:
    """A server, and the requests that its upstream has received."""
    bodies: list[dict[str, Any]] = []

    async def record(request: dict[str, Any]) -> Answer:
        bodies.append(request)
        return Answer(body=completion(request))

    return start("--upstream", upstream_of(MockUpstream(behaviour=record)).base_url), bodies


def run(server: Server, content: bytes, **options: Any) -> v1.Batch:
    """Run a file as a batch with options."""
    with Client(server.grpc) as client, grpc.insecure_channel(server.grpc) as channel:
        file = client.files.upload(content, filename="in.jsonl")
        request = v1.CreateBatchRequest(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options)
        batch = v1.BatchServiceStub(channel).CreateBatch(request)
        return client.batches.wait(batch.id, timeout=60)


def test_the_model_of_every_line_can_be_replaced(recorded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, bodies = recorded
    lines = [chat_line("a", "one", "gone", temperature=0.10), chat_line("b", "two", "gone-too")]
    batch = run(server, jsonl(lines), replace=v1.Replace(model=MODEL), line_rules=v1.LineRules(single_model=True))
    assert status_word(batch) == "completed", batch.errors
    assert batch.model == MODEL
    assert batch.replace.model == MODEL
    assert batch.input_file_name == "in.jsonl"
    assert {body["model"] for body in bodies} == {MODEL}
    assert {body.get("temperature") for body in bodies} == {0.1, None}


def test_method_and_url_of_lines_can_be_optional(recorded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, _ = recorded
    line = chat_line("a", "one", MODEL)
    content = jsonl([{"custom_id": "a", "body": line["body"]}])
    assert status_word(run(server, content)) == "failed"
    assert status_word(run(server, content, line_rules=v1.LineRules(default_target=True))) == "completed"
    wrong = jsonl([{**line, "url": "/v1/embeddings"}])
    assert status_word(run(server, wrong, line_rules=v1.LineRules(default_target=True))) == "failed"


def test_a_batch_can_require_a_single_model(recorded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, _ = recorded
    batch = run(
        server,
        jsonl([chat_line("a", model=MODEL), chat_line("b", model="another")]),
        line_rules=v1.LineRules(single_model=True),
    )
    assert [(error.code, error.line) for error in batch.errors] == [("mismatched_model", 2)]


def test_stream_can_be_removed_from_bodies(recorded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, bodies = recorded
    content = jsonl([chat_line("a", "one", MODEL, stream=True, stream_options={"include_usage": True})])
    assert status_word(run(server, content)) == "failed"
    assert status_word(run(server, content, line_rules=v1.LineRules(drop_stream=True))) == "completed"
    assert set(bodies[0]) == {"model", "messages"}


def test_repeated_creates_with_an_idempotency_key_create_one_batch(server: Server) -> None:
    with Client(server.grpc) as client, grpc.insecure_channel(server.grpc) as channel:
        stub = v1.BatchServiceStub(channel)
        file = client.files.upload(jsonl([chat_line("a")]), filename="in.jsonl")
        request = v1.CreateBatchRequest(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"a": "b"}, idempotency_key="once"
        )
        first = stub.CreateBatch(request)
        assert {call.result().id for call in [stub.CreateBatch.future(request) for _ in range(10)]} == {first.id}
        request.metadata["a"] = "c"
        with pytest.raises(grpc.RpcError) as refused:
            stub.CreateBatch(request)
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_a_missing_required_input_file_fails_the_call(server: Server) -> None:
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        v1.BatchServiceStub(channel).CreateBatch(
            v1.CreateBatchRequest(
                input_file_id="file-none", endpoint=CHAT, completion_window="24h", require_input_file=True
            )
        )
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
