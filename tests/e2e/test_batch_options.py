"""What a batch can ask for beyond OpenAI's rules, over gRPC."""

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
def asked(start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]) -> tuple[Server, list[dict[str, Any]]]:
    """A server in front of an upstream that keeps what it is asked."""
    bodies: list[dict[str, Any]] = []

    async def keep(request: dict[str, Any]) -> Answer:
        bodies.append(request)
        return Answer(body=completion(request))

    return start("--upstream", upstream_of(MockUpstream(behaviour=keep)).base_url), bodies


def run(server: Server, content: bytes, **options: Any) -> v1.Batch:
    """Run a file with options."""
    with Client(server.grpc) as client, grpc.insecure_channel(server.grpc) as channel:
        file = client.files.upload(content, filename="in.jsonl")
        request = v1.CreateBatchRequest(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options)
        batch = v1.BatchServiceStub(channel).CreateBatch(request)
        return client.batches.wait(batch.id, timeout=60)


def test_the_model_of_every_line_can_be_replaced(asked: tuple[Server, list[dict[str, Any]]]) -> None:
    server, bodies = asked
    lines = [chat_line("a", "one", "gone", temperature=0.10), chat_line("b", "two", "gone-too")]
    batch = run(server, jsonl(lines), replace=v1.Replace(model=MODEL), line_rules=v1.LineRules(single_model=True))
    assert status_word(batch) == "completed", batch.errors
    assert batch.model == MODEL
    assert batch.replace.model == MODEL
    assert batch.input_file_name == "in.jsonl"
    assert {body["model"] for body in bodies} == {MODEL}
    assert {body.get("temperature") for body in bodies} == {0.1, None}


def test_lines_may_leave_out_method_and_url_where_that_is_asked_for(asked: tuple[Server, list[dict[str, Any]]]) -> None:
    server, _ = asked
    line = chat_line("a", "one", MODEL)
    content = jsonl([{"custom_id": "a", "body": line["body"]}])
    assert status_word(run(server, content)) == "failed"
    assert status_word(run(server, content, line_rules=v1.LineRules(default_target=True))) == "completed"
    wrong = jsonl([{**line, "url": "/v1/embeddings"}])
    assert status_word(run(server, wrong, line_rules=v1.LineRules(default_target=True))) == "failed"


def test_several_models_can_be_refused(asked: tuple[Server, list[dict[str, Any]]]) -> None:
    server, _ = asked
    batch = run(
        server,
        jsonl([chat_line("a", model=MODEL), chat_line("b", model="another")]),
        line_rules=v1.LineRules(single_model=True),
    )
    assert [(error.code, error.line) for error in batch.errors] == [("mismatched_model", 2)]


def test_streaming_can_be_taken_out(asked: tuple[Server, list[dict[str, Any]]]) -> None:
    server, bodies = asked
    content = jsonl([chat_line("a", "one", MODEL, stream=True, stream_options={"include_usage": True})])
    assert status_word(run(server, content)) == "failed"
    assert status_word(run(server, content, line_rules=v1.LineRules(drop_stream=True))) == "completed"
    assert set(bodies[0]) == {"model", "messages"}


def test_a_call_with_a_key_creates_one_batch_however_often_it_comes(server: Server) -> None:
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


def test_a_file_that_must_exist_fails_the_call(server: Server) -> None:
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        v1.BatchServiceStub(channel).CreateBatch(
            v1.CreateBatchRequest(
                input_file_id="file-none", endpoint=CHAT, completion_window="24h", require_input_file=True
            )
        )
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
