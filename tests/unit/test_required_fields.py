"""The server refuses a request without a field that `proto/` annotates as required."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from batchwire import v1
from batchwire_server.adapters.blobs.memory import MemoryBlobs
from batchwire_server.api.auth import act_for
from batchwire_server.core.catalog import Catalog
from batchwire_server.core.errors import BatchwireError
from batchwire_server.gateway.routes import services
from batchwire_server.roles.adapters import Adapters
from batchwire_server.roles.api import build_servicers
from batchwire_server.service.watches import Watches
from batchwire_server.settings import Settings
from google.api import field_behavior_pb2
from google.protobuf.message_factory import GetMessageClass

from tests.ports.memory_harness import MemoryHarness

METHODS = {method.name: method for service in services() for method in service.methods}


class Api:
    """The servicers over stores in memory, with one object of each kind for requests to name."""

    def __init__(self) -> None:
        store = MemoryHarness().store
        self.watches = Watches(store, store.changes)
        adapters = Adapters(store, MemoryBlobs(), store.changes, Catalog([]), Receiver())  # type: ignore[arg-type]  # in memory
        self.servicers = build_servicers(Settings(), adapters, self.watches)
        self.values: dict[str, Any] = {
            "filename": "in.jsonl",
            "purpose": "batch",
            "bytes": 3,
            "seconds": 3600,
            "endpoint": "/v1/embeddings",
            "completion_window": "24h",
            "name": "mine",
            "url": "https://example.com/",
            "event_types": ["batch.completed"],
            "event_type": "batch.completed",
        }

    async def call(self, name: str, *requests: Any) -> Any:
        """Call a method and return its response, the first one of a stream."""
        method = METHODS[name]
        function = getattr(self.servicers[method.containing_service.name], name)

        async def stream() -> AsyncIterator[Any]:
            for request in requests:
                yield request

        call = function(stream() if method.client_streaming else requests[0], None)
        return await (anext(call) if method.server_streaming else call)

    async def fill(self) -> None:
        """Make the objects that requests name."""
        upload_file = [v1.UploadFileRequest(spec=self.valid(v1.UploadFileSpec)), v1.UploadFileRequest(data=b"{}\n")]
        self.values["input_file_id"] = self.values["file_id"] = (await self.call("UploadFile", *upload_file)).id
        self.values["upload_id"] = (await self.call("CreateUpload", self.valid(v1.CreateUploadRequest))).id
        part = [v1.AddUploadPartRequest(upload_id=self.values["upload_id"]), v1.AddUploadPartRequest(data=b"{}\n")]
        self.values["part_ids"] = [(await self.call("AddUploadPart", *part)).id]
        batch = self.valid(v1.CreateBatchRequest, "input_file_id", "endpoint", "completion_window")
        self.values["batch_id"] = (await self.call("CreateBatch", batch)).id
        endpoint = await self.call("CreateWebhookEndpoint", self.valid(v1.CreateWebhookEndpointRequest))
        self.values["webhook_endpoint_id"] = endpoint.id

    def valid(self, kind: Any, *others: str) -> Any:
        """Return a request with its required fields and `others`."""
        return kind(**{name: self.values[name] for name in (*required_of(kind.DESCRIPTOR), *others)})


class Receiver:
    """A webhook endpoint that answers."""

    async def post(self, url: str, headers: Any, body: bytes) -> int:
        return 200


def required_of(message: Any) -> list[str]:
    """Return the names of a message's fields that are annotated as required."""
    extension = field_behavior_pb2.field_behavior
    return [
        field.name
        for field in message.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[extension]
    ]


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    act_for("tenant")
    made = Api()
    await made.fill()
    yield made
    await made.watches.close()


REQUESTS = {name: GetMessageClass(method.input_type) for name, method in METHODS.items() if not method.client_streaming}
# No upstream serves a model here, and results of a batch that has none do not come.
SILENT = {"GetModel", "StreamResults"}
# Without `retry_of`, as the comments of these fields say.
CONDITIONAL = {"CreateBatch": ("input_file_id", "endpoint", "completion_window")}


@pytest.mark.parametrize("name", sorted(set(REQUESTS) - SILENT))
async def test_a_request_with_its_required_fields_alone_is_accepted(api: Api, name: str) -> None:
    await api.call(name, api.valid(REQUESTS[name], *CONDITIONAL.get(name, ())))


REQUIRED = [
    (name, field)
    for name, kind in REQUESTS.items()
    for field in (*required_of(kind.DESCRIPTOR), *CONDITIONAL.get(name, ()))
]


@pytest.mark.parametrize(("name", "field"), REQUIRED)
async def test_a_request_without_a_required_field_is_refused(api: Api, name: str, field: str) -> None:
    api.values.setdefault("model_id", "none")
    request = api.valid(REQUESTS[name], *CONDITIONAL.get(name, ()))
    request.ClearField(field)
    with pytest.raises(BatchwireError):
        await api.call(name, request)


@pytest.mark.parametrize("field", required_of(v1.UploadFileSpec.DESCRIPTOR))
async def test_a_file_without_a_required_field_is_refused(api: Api, field: str) -> None:
    spec = api.valid(v1.UploadFileSpec)
    spec.ClearField(field)
    with pytest.raises(BatchwireError, match=field):
        await api.call("UploadFile", v1.UploadFileRequest(spec=spec), v1.UploadFileRequest(data=b"{}\n"))


async def test_an_expiry_without_seconds_is_refused(api: Api) -> None:
    assert required_of(v1.ExpiresAfter.DESCRIPTOR) == ["seconds"]
    request = api.valid(v1.CreateUploadRequest)
    request.expires_after.SetInParent()
    with pytest.raises(BatchwireError, match="seconds"):
        await api.call("CreateUpload", request)


def test_every_required_field_is_tried() -> None:
    tried = {(REQUESTS[name].DESCRIPTOR.full_name, field) for name, field in REQUIRED}
    tried |= {(v1.UploadFileSpec.DESCRIPTOR.full_name, field) for field in required_of(v1.UploadFileSpec.DESCRIPTOR)}
    tried |= {(v1.ExpiresAfter.DESCRIPTOR.full_name, "seconds")}
    files = {service.file for service in services()}
    files |= {dependency for file in files for dependency in file.dependencies if dependency.package == "batchwire.v1"}
    declared = {
        (message.full_name, field)
        for file in files
        for message in file.message_types_by_name.values()
        for field in required_of(message)
    }
    assert declared <= tried
