"""The choice of a handler, and unary methods over HTTP."""

from __future__ import annotations

import asyncio

import httpx
import openai.types
import pytest
from batchwire import v1
from batchwire_server.gateway.dialects import DIALECTS
from batchwire_server.gateway.methods.dispatch import handler_for, unary
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.methods.uploads import upload
from batchwire_server.gateway.routes import Routes

from tests.unit.gateway.conftest import RunningGateway, eventually
from tests.unit.gateway.fake_api import LATER, NOW


def test_handler_follows_from_the_kind_of_method() -> None:
    kinds = {route.method.name: handler_for(route.method) for route in Routes(DIALECTS).all}
    others = {
        "UploadFile": upload,
        "AddUploadPart": upload,
        "DownloadFile": download,
        "WatchBatch": events,
        "StreamResults": lines,
    }
    assert {name: kind for name, kind in kinds.items() if kind is not unary} == others


async def test_created_batch_has_every_key(gateway: RunningGateway) -> None:
    body = {"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h", "metadata": {"a": "b"}}
    reply = await gateway.http.post("/v1/batches", json=body | {"replace": {"model": "x"}})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "id": "batch_0",
        "object": "batch",
        "endpoint": "/v1/embeddings",
        "model": None,
        "errors": None,
        "input_file_id": "file-1",
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": NOW.seconds,
        "in_progress_at": None,
        "expires_at": LATER.seconds,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "metadata": {"a": "b"},
    }


async def test_objects_have_exactly_openais_keys(gateway: RunningGateway) -> None:
    file = gateway.api.store(b"{}\n")
    batch = await gateway.http.post("/v1/batches", json={})
    assert set(batch.json()) == set(openai.types.Batch.model_fields)
    found = await gateway.http.get(f"/v1/files/{file.id}")
    assert set(found.json()) == set(openai.types.FileObject.model_fields)
    upload = await gateway.http.post("/v1/uploads", json={"bytes": 1})
    assert set(upload.json()) == set(openai.types.Upload.model_fields)


@pytest.mark.parametrize("slash", ["", "/"])
async def test_trailing_slash_is_served_without_a_redirect(gateway: RunningGateway, slash: str) -> None:
    file = gateway.api.store(b"{}\n")
    for path in ("/v1/files", f"/v1/files/{file.id}", f"/v1/files/{file.id}/content", "/v1/batches", "/v1/models/echo"):
        reply = await gateway.http.get(path + slash, follow_redirects=False)
        assert reply.status_code == 200, path
    created = await gateway.http.post(f"/v1/batches{slash}", json={"endpoint": "x"})
    assert created.status_code == 200
    assert (await gateway.http.post(f"/v1/batches/{created.json()['id']}/cancel{slash}")).status_code == 200


async def test_query_parameters_become_request_fields(gateway: RunningGateway) -> None:
    for number in range(3):
        gateway.api.store(b"%d\n" % number)
    reply = await gateway.http.get(
        "/v1/files", params={"limit": "2", "order": "asc", "purpose": "batch", "unknown": "1"}
    )
    assert gateway.api.requests[-1] == v1.ListFilesRequest(limit=2, order=v1.LIST_ORDER_ASC, purpose="batch")
    body = reply.json()
    assert (body["object"], body["first_id"], body["last_id"], body["has_more"]) == ("list", "file-0", "file-1", True)
    assert [file["id"] for file in body["data"]] == ["file-0", "file-1"]


async def test_empty_list_has_null_ids(gateway: RunningGateway) -> None:
    reply = await gateway.http.get("/v1/batches")
    assert reply.json() == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_delete_has_a_reply_body(gateway: RunningGateway) -> None:
    file = gateway.api.store(b"{}\n")
    reply = await gateway.http.delete(f"/v1/files/{file.id}", headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()) == (200, {"id": file.id, "object": "file", "deleted": True})


async def test_models_with_slashes_in_their_names_are_found(gateway: RunningGateway) -> None:
    model = {"object": "model", "id": "echo", "created": NOW.seconds, "owned_by": "batchwire"}
    assert (await gateway.http.get("/v1/models")).json() == {"object": "list", "data": [model]}
    assert (await gateway.http.get("/v1/models/Qwen/Qwen3-8B")).json()["id"] == "Qwen/Qwen3-8B"
    assert (await gateway.http.get("/v1/models/Qwen%2FQwen3%20%C3%A9/")).json()["id"] == "Qwen/Qwen3 é"


async def test_path_variable_wins_over_the_body(gateway: RunningGateway) -> None:
    await gateway.http.post("/v1/uploads/upload_1/complete", json={"upload_id": "other", "part_ids": [], "md5": None})
    assert gateway.api.requests[-1] == v1.CompleteUploadRequest(upload_id="upload_1")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_json_is_read_regardless_of_content_type(gateway: RunningGateway, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    reply = await gateway.http.post("/v1/uploads", content=b'{"bytes": 7, "purpose": "batch"}', headers=headers)
    assert reply.json()["bytes"] == 7


async def test_empty_body_counts_as_an_empty_object(gateway: RunningGateway) -> None:
    created = await gateway.http.post("/v1/batches", headers={"content-type": "application/json"})
    assert created.status_code == 200
    cancelled = await gateway.http.post(
        f"/v1/batches/{created.json()['id']}/cancel", headers={"content-type": "application/json"}
    )
    assert cancelled.json()["status"] == "cancelling"


async def test_body_that_is_no_json_is_refused_with_openais_hint(gateway: RunningGateway) -> None:
    reply = await gateway.http.post("/v1/batches", content=b"input_file_id=file-1&endpoint=x")
    error = reply.json()["error"]
    assert reply.status_code == 400
    assert error["message"].startswith("We could not parse the JSON body of your request. (HINT: ")
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


async def test_wrong_type_in_a_body_names_the_field(gateway: RunningGateway) -> None:
    reply = await gateway.http.post("/v1/batches", json={"metadata": {"tags": ["a"]}})
    assert reply.status_code == 400
    assert reply.json() == {
        "error": {
            "message": "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
            "type": "invalid_request_error",
            "param": "metadata.tags",
            "code": "invalid_type",
        }
    }


async def test_wrong_type_in_a_query_names_the_parameter(gateway: RunningGateway) -> None:
    error = (await gateway.http.get("/v1/files?limit=many")).json()["error"]
    assert (error["param"], error["code"]) == ("limit", "invalid_type")


async def test_body_over_the_limit_is_refused(small_gateway: RunningGateway) -> None:
    reply = await small_gateway.http.post("/v1/batches", json={"metadata": {"a": "x" * 5000}})
    assert reply.status_code == 413
    assert "1000 bytes" in reply.json()["error"]["message"]


async def test_disconnected_caller_cancels_the_rpc(gateway: RunningGateway) -> None:
    gateway.api.hold.clear()
    with pytest.raises(httpx.ReadTimeout):
        await gateway.http.get("/v1/files/file-1", timeout=httpx.Timeout(30, read=0.2))
    await eventually(lambda: gateway.api.cancelled == ["GetFileRequest"])


async def test_concurrent_calls_are_all_answered(gateway: RunningGateway) -> None:
    replies = await asyncio.gather(*(gateway.http.get("/v1/models/echo") for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
