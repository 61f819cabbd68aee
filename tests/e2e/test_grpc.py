"""The gRPC server: reflection, health, broken uploads, result streams and watches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from batchwire import v1
from batchwire_client import Client, errors
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

SERVICES = {"FileService", "UploadService", "BatchService", "ModelService", "WebhookService"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module, in which only the test that runs writes blobs."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_reflection_lists_services_and_describes_their_methods(server: Server, client: Client) -> None:
    file = client.files.upload(chat_file(1), filename="in.jsonl")
    batch_id = client.batches.create(file.id).id
    with grpc.insecure_channel(server.grpc) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        listed = set(database.get_services())
        assert {f"batchwire.v1.{name}" for name in SERVICES} < listed
        assert {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} < listed
        pool = DescriptorPool(database)
        method = pool.FindServiceByName("batchwire.v1.BatchService").FindMethodByName("GetBatch")
        request = GetMessageClass(method.input_type)(batch_id=batch_id)
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(
            "/batchwire.v1.BatchService/GetBatch",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        assert call(request).id == batch_id
    client.batches.wait(batch_id)


def test_each_service_reports_its_health(server: Server) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ["", *(f"batchwire.v1.{service}" for service in SERVICES)]:
            reply = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("attempt", range(10))
def test_a_cancelled_upload_leaves_no_file(server: Server, client: Client, attempt: int) -> None:
    before, files = server.blobs(), [file.id for file in client.files.list()]
    with grpc.insecure_channel(server.grpc) as channel:
        reached = False

        def messages() -> Iterator[v1.UploadFileRequest]:
            nonlocal reached
            yield v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in.jsonl", purpose="batch"))
            for _ in range(attempt * 3 + 1):
                yield v1.UploadFileRequest(data=chat_file(1000))
            call.cancel()
            reached = True

        call = v1.FileServiceStub(channel).UploadFile.future(messages())
        with pytest.raises(grpc.FutureCancelledError):
            call.result()
        wait_until(lambda: reached)
    wait_until(lambda: server.blobs() == before)
    assert [file.id for file in client.files.list()] == files


def test_an_upload_with_a_broken_connection_leaves_no_file(server: Server, client: Client) -> None:
    before, files = server.blobs(), [file.id for file in client.files.list()]
    channel = grpc.insecure_channel(server.grpc)

    def messages() -> Iterator[v1.UploadFileRequest]:
        yield v1.UploadFileRequest(spec=v1.UploadFileSpec(filename="in.jsonl", purpose="batch"))
        for _ in range(20):
            yield v1.UploadFileRequest(data=chat_file(1000))
        channel.close()

    with pytest.raises((grpc.RpcError, grpc.FutureCancelledError, ValueError)):
        v1.FileServiceStub(channel).UploadFile(messages())
    wait_until(lambda: server.blobs() == before)
    assert [file.id for file in client.files.list()] == files


def test_the_declared_size_and_hash_are_checked(server: Server, client: Client) -> None:
    content = chat_file(3)
    before = server.blobs()
    with pytest.raises(errors.InvalidRequest) as refused:
        client.files.upload(content, filename="in.jsonl", sha256="0" * 64)
    assert (refused.value.reason, refused.value.param) == ("CONTENT_MISMATCH", "sha256")
    assert server.blobs() == before
    file = client.files.upload(content, filename="in.jsonl", sha256=hashlib.sha256(content).hexdigest())
    assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_results_stream_while_the_batch_runs_and_can_be_resumed(client: Client) -> None:
    file = client.files.upload(chat_file(1500), filename="in.jsonl")
    batch = client.batches.create(file.id)
    seen = [line["custom_id"] for line in client.batches.results(batch.id)]
    assert sorted(seen) == sorted(f"line-{number}" for number in range(1500))
    pieces = list(client.batches.stream_results(batch.id))
    whole = b"".join(piece.data for piece in pieces)
    resumed = b"".join(piece.data for piece in client.batches.stream_results(batch.id, offset=777))
    assert resumed == whole[777:]
    with pytest.raises(errors.RequestError) as refused:
        list(client.batches.stream_results(batch.id, offset=len(whole) + 1))
    assert refused.value.reason == "RANGE_NOT_SATISFIABLE"


def test_a_watch_yields_progress_and_ends_with_the_batch(client: Client) -> None:
    file = client.files.upload(chat_file(3000), filename="in.jsonl")
    snapshots = list(client.batches.watch(client.batches.create(file.id).id))
    assert snapshots[-1].status == v1.BATCH_STATUS_COMPLETED
    done = [snapshot.request_counts.completed for snapshot in snapshots]
    assert done == sorted(done)
    order = [
        v1.BATCH_STATUS_VALIDATING,
        v1.BATCH_STATUS_IN_PROGRESS,
        v1.BATCH_STATUS_FINALIZING,
        v1.BATCH_STATUS_COMPLETED,
    ]
    stages = [order.index(snapshot.status) for snapshot in snapshots]
    assert stages == sorted(stages)
