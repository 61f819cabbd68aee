"""The routes of all dialects."""

from __future__ import annotations

from collections import Counter

import pytest
from batchwire_server.gateway.dialects import DIALECTS, OPENAI
from batchwire_server.gateway.errors import ApiError
from batchwire_server.gateway.routes import Routes, http_rules, services

ROUTES = Routes(DIALECTS)


def test_every_method_has_a_route() -> None:
    methods = {method.full_name for service in services() for method in service.methods}
    assert {route.method.full_name for route in ROUTES.all} == methods
    per_dialect = Counter(route.dialect.name for route in ROUTES.all)
    assert per_dialect == {
        dialect.name: len(dialect.additional_bindings)
        + sum(dialect.path_for(path) is not None for _, _, path, _ in http_rules())
        for dialect in DIALECTS
    }


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
def test_path_matches_its_method(verb: str, path: str, method: str, variables: dict[str, str]) -> None:
    route, found = ROUTES.match(verb, path)
    assert (route.method.name, found) == (method, variables)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/files//content", "/v1/filesx", "/V1/files", "/v1/files/a/b"])
def test_other_paths_are_invalid_urls(path: str) -> None:
    with pytest.raises(ApiError) as refused:
        ROUTES.match("GET", path)
    assert (refused.value.status, refused.value.message) == (404, f"Invalid URL (GET {path})")


def test_wrong_verb_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ApiError) as refused:
        ROUTES.match("PATCH", "/v1/files/f")
    assert (refused.value.status, refused.value.headers) == (405, {"allow": "DELETE, GET, HEAD"})


def test_unknown_url_has_the_dialect_of_its_prefix() -> None:
    assert ROUTES.dialect_of("/v1/nothing") is OPENAI
    assert ROUTES.dialect_of("/nothing") is OPENAI
    assert ROUTES.dialect_of("/openai/nothing").name == "azure"
    assert ROUTES.dialect_of("/openai/v1/nothing").name == "novita"
    for dialect in DIALECTS:
        for prefix in dialect.url_prefixes:
            assert ROUTES.dialect_of(f"{prefix}/nothing") is dialect
