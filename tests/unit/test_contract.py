"""What `proto/` promises, beyond what buf lints and compares."""

from __future__ import annotations

from pathlib import Path

import google.api
import pytest
from batchwire_server.gateway.routes import services
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import MethodDescriptor

PROTO = Path(__file__).parents[2] / "proto"
INSTALLED = Path(next(iter(google.api.__path__))).parents[1]
VENDORED = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "google").rglob("*.proto"))
METHODS = {method.name: method for service in services() for method in service.methods}

NOT_IDEMPOTENT = {
    "UploadFile": "each call stores a file",
    "CreateUpload": "each call opens an upload",
    "AddUploadPart": "each call stores a part",
    "CreateBatch": "each call creates a batch, unless an idempotency_key says that it is the same call",
    "CreateWebhookEndpoint": "each call creates an endpoint",
    "RotateWebhookSecret": "each call makes a secret, and so makes the one before invalid",
    "TestWebhookEndpoint": "each call posts an event",
}
"""The methods without an idempotency level, and why a repeated call is another call."""


@pytest.mark.parametrize("name", VENDORED)
def test_a_vendored_proto_is_the_one_that_the_generated_code_was_made_from(name: str) -> None:
    assert (PROTO / name).read_bytes() == (INSTALLED / name).read_bytes(), f"copy {INSTALLED / name} to proto/{name}"


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: str(method.name))
def test_every_method_has_an_idempotency_level_or_a_reason_to_have_none(method: MethodDescriptor) -> None:
    options = method.GetOptions()
    has_level = options.idempotency_level != descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
    assert has_level != (method.name in NOT_IDEMPOTENT)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: str(method.name))
def test_methods_without_side_effects_are_those_that_get(method: MethodDescriptor) -> None:
    options = method.GetOptions()
    gets = options.Extensions[annotations_pb2.http].HasField("get")
    assert gets == (options.idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS)


def http_rules(files: descriptor_pb2.FileDescriptorSet) -> set[tuple[str, str, str, str]]:
    """Return method, verb, path and body of each REST route."""
    return {
        (f"{file.package}.{service.name}.{method.name}", verb, getattr(each, verb), each.body)
        for file in files.file
        for service in file.service
        for method in service.method
        for rule in (method.options.Extensions[annotations_pb2.http],)
        for each in (rule, *rule.additional_bindings)
        if (verb := each.WhichOneof("pattern")) is not None
    }


def test_no_released_rest_route_has_changed() -> None:
    released = http_rules(descriptor_pb2.FileDescriptorSet.FromString((PROTO / "released.binpb").read_bytes()))
    today = descriptor_pb2.FileDescriptorSet()
    for file in {service.file for service in services()}:
        file.CopyToProto(today.file.add())
    assert released
    assert http_rules(today) >= released
