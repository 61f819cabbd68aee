"""Keys and tenants: a key gives access to the resources of its tenant only, in every call."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import openai as sdk
import pytest
import requests
from batchwire import v1
from batchwire_client import Client, errors
from batchwire_server.gateway.dialects import DIALECTS, Dialect
from batchwire_server.gateway.routes import Route, Routes
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from openai import OpenAI

from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

SERVICES = [
    service
    for name in dir(v1)
    if name.endswith("_service_pb2")
    for service in getattr(v1, name).DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]
OURS = {"file_id": "", "input_file_id": "", "batch_id": "", "upload_id": "", "webhook_endpoint_id": ""}


def keys(server_data: Path, *arguments: str) -> str:
    """Run `batchwire-server keys`. Return its output."""
    verb, *rest = arguments
    command = [sys.executable, "-m", "batchwire_server", "keys", verb, "--data-dir", str(server_data), *rest]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def tenants_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A server with two tenants, and the key of each: red and blue."""
    with Server(tmp_path_factory.mktemp("locked")) as server:
        red = keys(server.data_dir, "create", "--tenant", "red")
        blue = keys(server.data_dir, "create", "--tenant", "blue", "--name", "the other")
        yield server, red, blue


@pytest.fixture(scope="module")
def guest_key(tenants_server: tuple[Server, str, str]) -> str:
    """The key of a third tenant. It creates resources, which blue never does."""
    return keys(tenants_server[0].data_dir, "create", "--tenant", "guest")


@pytest.fixture(scope="module")
def red_ids(tenants_server: tuple[Server, str, str]) -> dict[str, str]:
    """Ids of resources of the tenant red."""
    server, red, _ = tenants_server
    with Client(server.grpc, api_key=red) as client:
        file = client.files.upload(chat_file(2), filename="in.jsonl")
        batch = client.batches.create(file.id)
        client.batches.wait(batch.id)
        upload = client.uploads.create(filename="in.jsonl", size=10)
    with OpenAI(base_url=f"{server.url}/v1", api_key=red) as openai:
        hook = openai.webhooks.create(name="red's", url="https://example.com/", event_types=["batch.completed"])
    ids = {"file_id": file.id, "input_file_id": file.id, "batch_id": batch.id, "upload_id": upload.id}
    return ids | {"webhook_endpoint_id": hook.id}


def request_of(method: MethodDescriptor, ids: dict[str, str]) -> Any:
    """Return a request of a method, with an id in each field that takes one."""
    request: Any = GetMessageClass(method.input_type)()
    for field in method.input_type.fields:
        if field.name in ids:
            setattr(request, field.name, ids[field.name])
    if method.name == "CreateBatch":
        request.MergeFrom(
            v1.CreateBatchRequest(endpoint="/v1/chat/completions", completion_window="24h", require_input_file=True)
        )
    if method.name == "CompleteUpload":
        request.part_ids.append("part_x")
    return request


def call(server: Server, method: MethodDescriptor, key: str | None, ids: dict[str, str]) -> list[Any]:
    """Call a method. Return its responses."""
    streams = {True: "stream", False: "unary"}
    kind = f"{streams[method.client_streaming]}_{streams[method.server_streaming]}"
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    with grpc.insecure_channel(server.grpc) as channel:
        stub = getattr(channel, kind)(
            path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = request_of(method, ids)
        reply = stub(iter([request]) if method.client_streaming else request, metadata=metadata, timeout=30)
        return list(reply) if method.server_streaming else [reply]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("key", [None, "bw-no-such-key-at-all-and-long-enough"], ids=["no key", "wrong key"])
def test_every_method_requires_a_valid_key(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], method: MethodDescriptor, key: str | None
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(tenants_server[0], method, key, red_ids)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_method_returns_resources_of_another_tenant(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], method: MethodDescriptor
) -> None:
    server, _, blue = tenants_server
    named = {field.name for field in method.input_type.fields} & set(OURS)
    in_stream = {field.name for field in method.input_type.fields if field.containing_oneof} & set(OURS)
    if named or in_stream:
        with pytest.raises(grpc.RpcError) as refused:
            call(server, method, blue, red_ids)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    elif method.name.startswith("List") and method.name not in {"ListModels", "ListWebhookEventTypes"}:
        (reply,) = call(server, method, blue, red_ids)
        assert not reply.data
    else:
        of_nobody = {"ListModels", "GetModel", "ListWebhookEventTypes"}
        making = {"UploadFile", "CreateUpload", "CreateWebhookEndpoint"}
        assert method.name in of_nobody | making, "a new method: decide whether it needs a tenant"


# Routes with the id of a resource in their path. A new one needs an id in `red_ids`.
ROUTES = [route for route in Routes(DIALECTS).all if set(route.pattern.groupindex) - {"model_id"}]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.template}")
def test_no_route_returns_resources_of_another_tenant(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], route: Route
) -> None:
    server, _, blue = tenants_server
    content: dict[str, Any] = {}
    if route.template.endswith("/parts"):
        content = {"files": {"data": b"x"}}
    elif route.template.endswith("/complete"):
        content = {"json": {"part_ids": ["part_x"]}}
    headers = {"authorization": f"Bearer {blue}"}
    url = f"{server.url}{route.template.format(**red_ids)}"
    assert requests.request(route.verb, url, headers=headers, timeout=30, **content).status_code == 404


def as_json(answer: requests.Response, *ids: str) -> str:
    """Return a response as text, with all ids replaced by the same word."""
    text = answer.text
    for each in ids:
        text = text.replace(each, "ID")
    return text


@pytest.mark.parametrize(("path", "name"), [("/v1/files", "file_id"), ("/v1/batches", "batch_id"), ("/v1/webhook_endpoints", "webhook_endpoint_id")])  # fmt: skip
def test_a_page_cannot_start_after_a_resource_of_another_tenant(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], path: str, name: str
) -> None:
    server, _, blue = tenants_server
    headers = {"authorization": f"Bearer {blue}"}
    answers = [
        requests.get(f"{server.url}{path}", params={"after": each}, headers=headers, timeout=30)
        for each in (red_ids[name], "none")
    ]
    bodies = {as_json(answer, red_ids[name], "none") for answer in answers}
    assert len(bodies) == 1, "the response reveals whether the resource exists"
    assert {answer.status_code for answer in answers} <= {200, 400}
    assert all(red_ids[name] not in str(answer.json().get("data")) for answer in answers)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
def test_an_input_file_of_another_tenant_looks_missing(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], guest_key: str, dialect: Dialect
) -> None:
    server, _, _ = tenants_server
    headers = {"authorization": f"Bearer {guest_key}"}
    url = f"{server.url}{dialect.path_for('/v1/batches')}"
    wanted = {"input_file_id": red_ids["file_id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    answer = requests.post(url, json=wanted, headers=headers, timeout=30)
    if dialect.request_mapping.defaults.get("CreateBatchRequest", {}).get("require_input_file"):
        assert answer.status_code == 404
        return
    with OpenAI(base_url=f"{server.url}/v1", api_key=guest_key) as client:
        wait_until(lambda: client.batches.retrieve(answer.json()["id"]).status == "failed")
        batch = client.batches.retrieve(answer.json()["id"])
    assert batch.errors
    assert batch.errors.data
    assert str(batch.errors.data[0].message).startswith(f"Cannot find file {red_ids['file_id']}, ")


def test_a_part_of_another_tenant_is_unknown(
    tenants_server: tuple[Server, str, str], red_ids: dict[str, str], guest_key: str
) -> None:
    server, red, _ = tenants_server
    with OpenAI(base_url=f"{server.url}/v1", api_key=red) as client:
        part = client.uploads.parts.create(red_ids["upload_id"], data=b'{"secret": 1}\n')
    with OpenAI(base_url=f"{server.url}/v1", api_key=guest_key) as client:
        upload = client.uploads.create(bytes=14, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
        with pytest.raises(sdk.BadRequestError, match="the upload has no part with id"):
            client.uploads.complete(upload.id, part_ids=[part.id])


def test_idempotency_keys_are_per_tenant(tenants_server: tuple[Server, str, str], guest_key: str) -> None:
    server, red, _ = tenants_server
    wanted: Any = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = []
    for key, window in ((red, "24h"), (guest_key, "48h"), (red, "24h"), (guest_key, "48h")):
        headers = {"authorization": f"Bearer {key}", "idempotency-key": "the nightly one"}
        answer = requests.post(
            f"{server.url}/v1/batches", json=wanted | {"completion_window": window}, headers=headers, timeout=30
        )
        made.append(answer.json()["id"])
    assert made[0] == made[2] != made[1] == made[3]


def envelope(message: str, code: str | None) -> Any:
    """Return an error body of OpenAI's API."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


MISSING = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
INCORRECT = "Incorrect API key provided: bw-…."
REFUSED = {
    "respan": ({"error": "Authentication credentials were not provided."}, {"error": INCORRECT}),
    "siliconflow": ("Invalid token", "Invalid token"),
}


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
def test_missing_and_wrong_keys_have_the_error_body_of_each_dialect(
    tenants_server: tuple[Server, str, str], dialect: Dialect, path: str
) -> None:
    url = f"{tenants_server[0].url}{dialect.path_for(path)}"
    answers = [requests.get(url, headers=headers, timeout=30) for headers in ({}, {"authorization": "Bearer bw-wrong"})]
    assert [answer.status_code for answer in answers] == [401, 401]
    expected = REFUSED.get(dialect.name, (envelope(MISSING, None), envelope(INCORRECT, "invalid_api_key")))
    assert tuple(answer.json() for answer in answers) == expected


def test_keys_are_listed_and_can_be_revoked(tenants_server: tuple[Server, str, str]) -> None:
    server, red, _ = tenants_server
    key = keys(server.data_dir, "create", "--tenant", "green")
    with Client(server.grpc, api_key=key) as client:
        assert list(client.files.list()) == []
        listed = {line.split("\t")[2]: line.split("\t") for line in keys(server.data_dir, "list").splitlines()}
        assert listed["green"][5] == "valid"
        assert key not in str(listed)
        keys(server.data_dir, "revoke", listed["green"][0])
        with pytest.raises(errors.Unauthenticated, match="Incorrect API key provided"):
            list(client.files.list())
    assert red not in (server.data_dir / "batchwire.db").read_bytes().decode("latin-1")


def test_a_key_can_be_created_before_the_server_has_ever_run(tmp_path: Path) -> None:
    key = keys(tmp_path / "data", "create")
    with Server(tmp_path, "--workers", "0") as server:
        with Client(server.grpc, api_key=key) as client:
            assert list(client.files.list()) == []
        with Client(server.grpc) as client, pytest.raises(errors.Unauthenticated):
            list(client.files.list())


@pytest.mark.parametrize("header", ["authorization", "api-key", "x-api-key"])
def test_a_key_is_accepted_in_three_headers(tenants_server: tuple[Server, str, str], header: str) -> None:
    server, red, _ = tenants_server
    value = f"Bearer {red}" if header == "authorization" else red
    with grpc.insecure_channel(server.grpc) as channel:
        v1.FileServiceStub(channel).ListFiles(v1.ListFilesRequest(), metadata=((header, value),))


def test_a_wrong_key_is_an_authentication_error_of_the_openai_sdk(tenants_server: tuple[Server, str, str]) -> None:
    server, red, _ = tenants_server
    with OpenAI(base_url=f"{server.url}/v1", api_key="sk-wrong") as client:
        with pytest.raises(sdk.AuthenticationError, match="Incorrect API key provided") as refused:
            client.files.list()
        assert refused.value.code == "invalid_api_key"
    with OpenAI(base_url=f"{server.url}/v1", api_key=red) as client:
        client.files.list()


@pytest.mark.parametrize("option", ["--grpc-listen", "--http-listen"])
def test_a_server_on_a_public_address_requires_keys(tmp_path: Path, option: str) -> None:
    other = "--http-listen" if option == "--grpc-listen" else "--grpc-listen"
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path)]
    ports = [option, "0.0.0.0:0", other, "127.0.0.1:0"]
    result = subprocess.run([*command, *ports], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "there is no API key yet" in result.stderr
    assert "Traceback" not in result.stderr
