from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import batchwire_server.gateway
import pytest
from batchwire_server.gateway.dialects import DIALECTS, OPENAI
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.methods.dispatch import handler_for, unary
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.methods.uploads import upload
from batchwire_server.gateway.routes import Routes, http_options, services

ROUTES = Routes(DIALECTS)


def test_every_method_with_an_http_option_has_a_route() -> None:
    methods = {method.full_name for service in services() for method in service.methods}
    assert {route.method.full_name for route in ROUTES.all} == methods
    per_dialect = Counter(route.dialect.name for route in ROUTES.all)
    # Every dialect adds the DELETE of batches; Cerebras leaves one out.
    options = len(list(http_options()))
    assert per_dialect == {dialect.name: options + (dialect.name != "cerebras") for dialect in DIALECTS}


def test_the_kind_of_a_handler_follows_from_the_methods_shape() -> None:
    kinds = {route.method.name: handler_for(route.method) for route in ROUTES.all}
    others = {
        "UploadFile": upload,
        "AddUploadPart": upload,
        "DownloadFile": download,
        "WatchBatch": events,
        "StreamResults": lines,
    }
    assert {name: kind for name, kind in kinds.items() if kind is not unary} == others


@pytest.mark.parametrize(
    ("verb", "path", "method", "variables"),
    [
        ("GET", "/v1/files/", "ListFiles", {}),
        ("HEAD", "/v1/files/f/content", "DownloadFile", {"file_id": "f"}),
        ("GET", "/v1/files/a%2Fcontent", "GetFile", {"file_id": "a/content"}),
        ("GET", "/v1/files/a+b%20c", "GetFile", {"file_id": "a+b c"}),
        ("POST", "/v1/batches/b/cancel/", "CancelBatch", {"batch_id": "b"}),
        ("POST", "/v1/uploads/u/parts", "AddUploadPart", {"upload_id": "u"}),
        ("GET", "/v1/models/a/b%2Fc/", "GetModel", {"model_id": "a/b/c"}),
        ("GET", "/v1/models/", "ListModels", {}),
    ],
)
def test_a_path_finds_its_method(verb: str, path: str, method: str, variables: dict[str, str]) -> None:
    route, found = ROUTES.match(verb, path)
    assert (route.method.name, found) == (method, variables)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/files//content", "/v1/filesx", "/V1/files", "/v1/files/a/b"])
def test_any_other_path_is_an_invalid_url(path: str) -> None:
    with pytest.raises(ApiError) as refused:
        ROUTES.match("GET", path)
    assert (refused.value.status, refused.value.message) == (404, f"Invalid URL (GET {path})")


def test_a_wrong_verb_is_told_the_right_ones() -> None:
    with pytest.raises(ApiError) as refused:
        ROUTES.match("PATCH", "/v1/files/f")
    assert (refused.value.status, refused.value.headers) == (405, {"allow": "DELETE, GET, HEAD"})


def test_an_unknown_url_is_answered_in_the_dialect_of_its_prefix() -> None:
    assert ROUTES.dialect_of("/v1/nothing") is OPENAI
    assert ROUTES.dialect_of("/nothing") is OPENAI
    names = {prefix: ROUTES.dialect_of(f"{prefix}/nothing").name for each in DIALECTS for prefix in each.url_prefixes}
    assert names == {
        "/v1": "openai",
        "/openai": "azure",
        "/openai/v1": "novita",
        "/groq/openai/v1": "groq",
        "/api/v1": "respan",
        "/api/files": "respan",
        "/siliconflow/v1": "siliconflow",
        "/cerebras/v1": "cerebras",
    }


def test_the_gateway_imports_nothing_of_the_server() -> None:
    allowed = {
        "batchwire",
        "google",
        "grpc",
        "grpc_health",
        "msgspec",
        "prometheus_client",
        "python_multipart",
        "starlette",
    }
    for path in Path(batchwire_server.gateway.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                root = name.partition(".")[0]
                assert root in allowed | sys.stdlib_module_names or name.startswith("batchwire_server.gateway"), (
                    path,
                    name,
                )
