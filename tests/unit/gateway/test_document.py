"""The OpenAPI document, compared with the routes and with the gateway's replies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from batchwire import v1
from batchwire_server.gateway.dialects import DIALECTS, Dialect
from batchwire_server.gateway.openapi.document import document
from batchwire_server.gateway.routes import Routes

from tests.unit.gateway.conftest import RunningGateway
from tests.unit.gateway.fake_api import LATER, NOW, Failure

DOCUMENT = document(DIALECTS)
TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
by_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))


def violations(schema: Any, value: Any, where: str = "$") -> Iterator[str]:
    """Yield violations of a schema, for as much of JSON Schema as the document uses."""
    if "$ref" in schema:
        yield from violations(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, where)
    if "anyOf" in schema and all(list(violations(each, value, where)) for each in schema["anyOf"]):
        yield f"{where}: none of anyOf"
    if "const" in schema and schema["const"] != value:
        yield f"{where}: not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    kinds = schema.get("type", [])
    if kinds and type(value) not in [TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]:
        yield f"{where}: {value!r} is no {kinds}"
    yield from inner_violations(schema, value, where)


def inner_violations(schema: Any, value: Any, where: str) -> Iterator[str]:
    """Yield violations inside an object or an array."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        yield from (f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value)
        for name, each in value.items():
            if name not in properties and rest is False:
                yield f"{where}: {name} is unknown"
            else:
                yield from violations(properties.get(name, rest), each, f"{where}.{name}")
    if isinstance(value, list):
        for at, each in enumerate(value):
            yield from violations(schema.get("items", {}), each, f"{where}[{at}]")


def reply_schema(verb: str, path: str, status: str = "200") -> Any:
    return DOCUMENT["paths"][path][verb]["responses"][status]["content"]["application/json"]["schema"]


def operations_in(media_type: str, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Yield verb and path of a dialect's operations that reply with a media type."""
    for path, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            if operation["tags"] == [dialect.name] and media_type in operation["responses"]["200"].get("content", {}):
                yield verb, path


def test_checker_finds_violations() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert list(violations(schema, {"a": 1})) == []
    assert len(list(violations(schema, {"b": 1}))) == 2
    assert list(violations(schema, {"a": True})) == ["$.a: True is no integer"]
    assert list(violations({"anyOf": [{"const": 1}, {"enum": [2]}]}, 3)) == ["$: none of anyOf"]


def test_document_lists_exactly_the_routes() -> None:
    routes = {(route.verb.lower(), route.template.replace("=**", "")) for route in Routes(DIALECTS).all}
    probes = {("get", dialect.path_for(each)) for dialect in DIALECTS for each in dialect.probe_paths}
    listed = {(verb, path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert listed == routes | probes


async def test_document_is_served_and_its_paths_are_routed(gateway: RunningGateway) -> None:
    served = (await gateway.http.get("/openapi.json")).json()
    assert served == DOCUMENT
    assert served["openapi"].startswith("3.1")
    gateway.api.failures["*"] = Failure(grpc.StatusCode.PERMISSION_DENIED, "It is there.")
    for path, verbs in served["paths"].items():
        for verb in verbs:
            reply = await gateway.http.request(verb, re.sub(r"\{\w+\}", "x", path))
            assert reply.status_code in {200, 400, 403}, (verb, path, reply.text)


def test_operation_ids_are_unique_and_path_variables_declared() -> None:
    operations = [
        (path, each) for path, verbs in DOCUMENT["paths"].items() for each in verbs.values() if "operationId" in each
    ]
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names)
    for path, operation in operations:
        declared = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert declared == re.findall(r"\{(\w+)\}", path)


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    references = re.findall(r"#/components/schemas/([\w.]+)", repr(DOCUMENT))
    assert set(references) == set(DOCUMENT["components"]["schemas"])


@by_dialect
async def test_json_replies_match_their_schemas(gateway: RunningGateway, dialect: Dialect) -> None:
    def at(path: str) -> str:
        return str(dialect.path_for(path))

    gateway.api.store(b"{}\n")
    full = v1.Batch(
        id="b",
        errors=[v1.BatchError(code="c", message="m", param="p", line=1), v1.BatchError(code="c", message="m")],
        metadata={"a": "b", "c": "json:[1]"},
        output_file_id="file-1",
        created_at=NOW,
        completed_at=LATER,
        status=v1.BATCH_STATUS_COMPLETED,
        replace=v1.Replace(model="m"),
        input_file_name="in.jsonl",
        usage=v1.Usage(total_tokens=3),
    )
    gateway.api.batches |= {"b": full, "empty": v1.Batch(id="empty")}
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("get", "/v1/files", "", {}),
        ("get", "/v1/files/{file_id}", "file-0", {}),
        ("get", "/v1/batches", "", {}),
        ("get", "/v1/batches/{batch_id}", "b", {}),
        ("get", "/v1/batches/{batch_id}", "empty", {}),
        ("post", "/v1/batches", "", {"json": {"input_file_id": "file-0", "metadata": {"a": "b"}}}),
        ("post", "/v1/batches/{batch_id}/cancel", "empty", {}),
        ("get", "/v1/models", "", {}),
        ("get", "/v1/models/{model_id}", "m", {}),
        ("post", "/v1/uploads", "", {"json": {"bytes": 1}}),
        ("post", "/v1/uploads/{upload_id}/parts", "u", {"files": {"data": b"x"}}),
        ("post", "/v1/files", "", {"data": {"purpose": "batch"}, "files": {"file": b"x"}}),
        ("delete", "/v1/files/{file_id}", "file-0", {}),
        ("delete", "/v1/batches/{batch_id}", "empty", {}),
        ("post", "/v1/uploads/{upload_id}/complete", "u", {"json": {"part_ids": []}}),
        ("post", "/v1/uploads/{upload_id}/cancel", "u", {}),
        ("get", "/v1/webhook_endpoints", "", {}),
        ("post", "/v1/webhook_endpoints", "", {"json": {"name": "n"}}),
        ("get", "/v1/webhook_endpoints/{webhook_endpoint_id}", "w", {}),
        ("post", "/v1/webhook_endpoints/{webhook_endpoint_id}", "w", {"json": {"name": "n"}}),
        ("delete", "/v1/webhook_endpoints/{webhook_endpoint_id}", "w", {}),
        ("post", "/v1/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", "w", {}),
        ("post", "/v1/webhook_endpoints/{webhook_endpoint_id}/test", "w", {}),
        ("get", "/v1/webhook_event_types", "", {}),
    ]
    assert {(verb, at(path)) for verb, path, _, _ in calls} == set(operations_in("application/json", dialect))
    for verb, path, variable, options in calls:
        reply = await gateway.http.request(verb, re.sub(r"\{\w+\}", variable, at(path)), **options)
        assert reply.status_code == 200, (verb, path, reply.text)
        assert list(violations(reply_schema(verb, at(path)), reply.json())) == [], (verb, path)
    for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT):
        gateway.api.failures["*"] = Failure(code, "No.")
        refused = await gateway.http.get(at("/v1/files"))
        assert list(violations(reply_schema("get", at("/v1/files"), "default"), refused.json())) == []


@by_dialect
async def test_streamed_replies_have_their_described_media_type(gateway: RunningGateway, dialect: Dialect) -> None:
    gateway.api.store(b"{}\n")
    gateway.api.batches["file-0"] = v1.Batch(id="file-0")
    for media_type in (dialect.file_content_type, "text/event-stream", "application/jsonl"):
        for verb, path in operations_in(media_type, dialect):
            gateway.api.snapshots.put_nowait(None)
            gateway.api.lines.put_nowait(None)
            reply = await gateway.http.request(verb, re.sub(r"\{\w+\}", "file-0", path))
            assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, media_type)
    others = {
        kind
        for verbs in DOCUMENT["paths"].values()
        for each in verbs.values()
        for kind in each["responses"]["200"].get("content", {})
    }
    assert others == {"application/json", "text/event-stream", "application/jsonl"} | {
        each.file_content_type for each in DIALECTS
    }


@by_dialect
def test_fields_with_a_default_are_not_required(dialect: Dialect) -> None:
    path = str(dialect.path_for("/v1/batches"))
    body = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    window = body["properties"]["completion_window"]
    required, for_a_retry = body["anyOf"]
    assert {"input_file_id", "endpoint"} <= set(required["required"])
    default = dialect.request_mapping.defaults.get("CreateBatchRequest", {}).get("completion_window")
    assert ("completion_window" in required["required"]) == (default is None)
    assert for_a_retry == {"required": ["retry_of"]}
    assert window.get("default") == default
    assert "idempotency_key" in body["properties"]


@by_dialect
async def test_metadata_takes_the_types_that_are_described(gateway: RunningGateway, dialect: Dialect) -> None:
    path = str(dialect.path_for("/v1/batches"))
    body = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    strings_only = body["properties"]["metadata"].get("additionalProperties") == {"type": "string"}
    gateway.api.store(b"{}\n")
    wanted = {"input_file_id": "file-0", "endpoint": "/v1/x", "completion_window": "24h", "metadata": {"a": [1]}}
    reply = await gateway.http.post(path, json=wanted)
    assert reply.status_code == (400 if strings_only else 200)


def test_forms_describe_their_parts() -> None:
    form = DOCUMENT["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["file", "purpose"]
    assert {"expires_after[anchor]", "expires_after[seconds]"} <= set(form["properties"])
    part = DOCUMENT["paths"]["/v1/uploads/{upload_id}/parts"]["post"]["requestBody"]["content"]
    assert part["multipart/form-data"]["schema"]["required"] == ["data"]
