"""All dialects at once: the page that compares them, and what they share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import openai
import pytest
from batchwire import v1
from batchwire_server.gateway import app
from batchwire_server.gateway.dialects import DIALECTS, OPENAI, Dialect
from batchwire_server.gateway.openapi.document import document
from batchwire_server.gateway.options import GatewayOptions
from batchwire_server.gateway.routes import Routes, http_rules

from tests.unit.gateway.conftest import RunningGateway, run_gateway
from tests.unit.gateway.fake_api import Failure

PAGE = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text()
OTHERS = [dialect for dialect in DIALECTS if dialect is not OPENAI]
ABSENT = object()


def properties(dialect: Dialect) -> dict[str, Any]:
    """Return what a dialect's table says by the page's field names. Equal values behave alike."""
    requests, responses = dialect.request_mapping, dialect.response_mapping
    defaults = {
        f"{message}.{name}": f"`{json.dumps(value)}`"
        for message, values in requests.defaults.items()
        for name, value in values.items()
    }
    fields = {
        name: (name in responses.hidden, responses.renamed.get(name), responses.overrides.get(name))
        for name in responses.hidden | responses.renamed.keys() | responses.overrides.keys()
    }
    return {
        "prefix of URLs": ", ".join(f"`{prefix}`" for prefix in dialect.url_prefixes),
        "errors": dialect.render_error,
        "content-type": f"`{dialect.file_content_type}`",
        "constants": (responses.constants, responses.never_null),
        **defaults,
        **{f"header {header}": read for header, read in requests.headers.items()},
        **{f"body of {message}": transform for message, transform in requests.transforms.items()},
        **fields,
        **{f"reply of {method}": override for method, override in responses.reply_overrides.items()},
        **{f"{verb} {path}": method for (verb, path), method in dialect.additional_bindings.items()},
        **{f"GET {path}": "probe" for path in dialect.probe_paths},
        **{
            f"{verb} {path}": method.name
            for method, verb, path, _ in http_rules()
            if dialect.path_for(path) is not None
        },
    }


def rows() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of the page's table: the field, and the cells by column."""
    lines = [line for line in PAGE.partition("## Differences")[2].splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    for cells in body:
        row = dict(zip(map(str.strip, head), cells, strict=True))
        yield row["call"] if row["field"] == "verb and path" else row["field"], row


def test_page_has_a_column_for_every_dialect() -> None:
    columns = [dialect.name for dialect in OTHERS]
    assert all(list(row) == ["call", "field", *columns, "why"] for _, row in rows())
    assert re.findall(r"(?m)^\| (\w+) \| `http:", PAGE) == [dialect.name for dialect in DIALECTS]


def test_page_has_a_row_for_exactly_the_differences() -> None:
    ours, different = properties(OPENAI), set()
    for dialect in OTHERS:
        theirs = properties(dialect)
        different |= {key for key in ours | theirs if ours.get(key, ABSENT) != theirs.get(key, ABSENT)}
    listed = [name for name, _ in rows()]
    assert sorted(listed) == sorted(different)


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: str(dialect.name))
def test_every_cell_of_the_page_matches_the_code(dialect: Dialect) -> None:
    ours, theirs = properties(OPENAI), properties(dialect)
    for name, row in rows():
        cell, value = row[dialect.name], theirs.get(name, ABSENT)
        assert (cell == "same") == (value == ours.get(name, ABSENT)), (name, cell)
        if cell != "same" and isinstance(value, str) and value.startswith("`"):
            assert cell == value, name


def test_calls_on_the_page_exist() -> None:
    calls = {f"{verb} {path}" for _, verb, path, _ in http_rules()}
    extra = {" ".join(binding) for dialect in DIALECTS for binding in dialect.additional_bindings}
    probes = {f"GET {path}" for dialect in DIALECTS for path in dialect.probe_paths}
    assert {row["call"] for _, row in rows()} <= calls | extra | probes | {"all"}


@pytest.fixture
def nebius() -> Dialect:
    """Return the example dialect of the page."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(code[0], "nebius.py", "exec"), namespace)
    dialect: Dialect = namespace["NEBIUS"]
    return dialect


async def test_example_dialect_is_served_once_it_is_in_dialects(
    nebius: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "DIALECTS", (*DIALECTS, nebius))
    async with run_gateway(GatewayOptions()) as gateway:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/nebius/v1", api_key="k", max_retries=0) as sdk:
            file = await sdk.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
            more = {"override_settings": {"model": "m"}}
            batch = await sdk.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_body=more
            )
            assert gateway.api.batches[batch.id].replace.model == "m"
            assert [each.id async for each in sdk.batches.list()] == [batch.id]
            assert gateway.api.requests[-1] == v1.ListBatchesRequest(limit=10)
        assert "/nebius/v1/batches" in (await gateway.http.get("/openapi.json")).json()["paths"]


def test_example_dialect_routes_and_transforms_requests(nebius: Dialect) -> None:
    dialects = (*DIALECTS, nebius)
    route, _ = Routes(dialects).match("POST", "/nebius/v1/batches/")
    assert (route.dialect, route.method.name) == (nebius, "CreateBatch")
    assert "/nebius/v1/batches/{batch_id}" in document(dialects)["paths"]
    request = v1.CreateBatchRequest()
    nebius.request_mapping.apply_body(
        request, b'{"override_settings": {"model": "m", "temperature": 1}, "endpoint": "/v1/x"}'
    )
    assert request == v1.CreateBatchRequest(endpoint="/v1/x", replace=v1.Replace(model="m"))


def test_names_and_prefixes_are_unique() -> None:
    url_prefixes = [prefix for dialect in DIALECTS for prefix in dialect.url_prefixes]
    assert len(set(url_prefixes)) == len(url_prefixes)
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
async def test_idempotency_key_is_passed_on_and_its_reuse_is_a_conflict(
    gateway: RunningGateway, dialect: Dialect
) -> None:
    gateway.api.store(b"{}\n")
    path = str(dialect.path_for("/v1/batches"))
    body = {"input_file_id": "file-0", "endpoint": "/v1/x", "completion_window": "24h"}
    headers = {"Idempotency-Key": "k-1"}
    assert (await gateway.http.post(path, json=body, headers=headers)).status_code == 200
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert request.idempotency_key == "k-1"
    reused = Failure(grpc.StatusCode.ALREADY_EXISTS, "Another request.", "IDEMPOTENCY_KEY_REUSED")
    gateway.api.failures["*"] = reused
    reply = await gateway.http.post(path, json=body, headers=headers)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (409, "false")
    assert "Another request." in reply.text


@pytest.mark.parametrize(
    "dialect",
    [each for each in DIALECTS if each.render_error is OPENAI.render_error],
    ids=lambda dialect: str(dialect.name),
)
async def test_missing_api_key_is_refused_with_openais_message(gateway: RunningGateway, dialect: Dialect) -> None:
    message = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY)"
    )
    gateway.api.failures["*"] = Failure(grpc.StatusCode.UNAUTHENTICATED, message, "MISSING_API_KEY")
    reply = await gateway.http.get(str(dialect.path_for("/v1/batches")))
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    assert (reply.status_code, reply.json()) == (401, {"error": error})


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
async def test_api_key_in_another_header_becomes_a_bearer_token(
    gateway: RunningGateway, dialect: Dialect, header: str
) -> None:
    await gateway.http.get(str(dialect.path_for("/v1/batches")), headers={header: "k"})
    assert gateway.api.metadata["authorization"] == "Bearer k"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
async def test_callers_line_rules_merge_with_the_dialects_defaults(gateway: RunningGateway, dialect: Dialect) -> None:
    gateway.api.store(b"{}\n")
    rules = {"default_target": True, "single_model": False}
    body = {"input_file_id": "file-0", "line_rules": rules}
    await gateway.http.post(str(dialect.path_for("/v1/batches")), json=body)
    request = gateway.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    defaults = dialect.request_mapping.defaults.get("CreateBatchRequest", {}).get("line_rules", {})
    assert request.line_rules.default_target
    assert request.line_rules.drop_stream == defaults.get("drop_stream", False)
