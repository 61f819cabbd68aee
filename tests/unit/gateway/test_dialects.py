"""All dialects at once: the page that compares them, and what they have in common."""

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
from batchwire_server.gateway.routes import Routes, http_options

from tests.unit.gateway.conftest import Stage, staged
from tests.unit.gateway.fake_api import Failure

PAGE = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text()
OTHERS = [dialect for dialect in DIALECTS if dialect is not OPENAI]
ABSENT = object()


def said(dialect: Dialect) -> Iterator[tuple[str, Any]]:
    """Everything that a dialect's tables say, under the names of the page. Equal values mean the same behaviour."""
    yield "prefix of URLs", ", ".join(f"`{prefix}`" for prefix in dialect.prefixes)
    yield "errors", dialect.error
    yield "content-type", f"`{dialect.content_type}`"
    for message, defaults in dialect.reading.defaults.items():
        for name, value in defaults.items():
            yield f"{message}.{name}", f"`{json.dumps(value)}`"
    for header, read in dialect.reading.headers.items():
        yield f"header {header}", read
    for message, reshape in dialect.reading.reshaped.items():
        yield f"body of {message}", reshape
    shape = dialect.shape
    for name in shape.hidden | shape.renamed.keys() | shape.reshaped.keys():
        label = name if "." in name else f"reply of {name}"
        yield label, (name in shape.hidden, shape.renamed.get(name), shape.reshaped.get(name))
    yield "constants", (shape.constants, shape.never_null)
    for (verb, path), method in dialect.bindings.items():
        yield f"{verb} {path}", method
    for path in dialect.probes:
        yield f"GET {path}", "probe"
    for method_, verb, path, _ in http_options():
        if dialect.spell(path) is not None:
            yield f"{verb} {path}", method_.name


def rows() -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of the page's table: what each is about, and its cells by column."""
    lines = [line for line in PAGE.partition("## What differs")[2].splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    for cells in body:
        row = dict(zip(map(str.strip, head), cells, strict=True))
        yield row["call"] if row["field"] == "verb and path" else row["field"], row


def test_the_page_has_a_column_for_every_dialect() -> None:
    columns = [dialect.name for dialect in OTHERS]
    assert all(list(row) == ["call", "field", *columns, "why"] for _, row in rows())
    assert re.findall(r"(?m)^\| (\w+) \| `http:", PAGE) == [dialect.name for dialect in DIALECTS]


def test_the_page_has_a_row_for_every_difference_and_no_other() -> None:
    ours, different = dict(said(OPENAI)), set()
    for dialect in OTHERS:
        theirs = dict(said(dialect))
        different |= {key for key in ours | theirs if ours.get(key, ABSENT) != theirs.get(key, ABSENT)}
    listed = [name for name, _ in rows()]
    assert sorted(listed) == sorted(different)


@pytest.mark.parametrize("dialect", OTHERS, ids=lambda dialect: str(dialect.name))
def test_every_cell_of_the_page_is_true(dialect: Dialect) -> None:
    ours, theirs = dict(said(OPENAI)), dict(said(dialect))
    for name, row in rows():
        cell, value = row[dialect.name], theirs.get(name, ABSENT)
        assert (cell == "same") == (value == ours.get(name, ABSENT)), (name, cell)
        if cell != "same" and isinstance(value, str) and value.startswith("`"):
            assert cell == value, name


def test_the_calls_that_the_page_names_exist() -> None:
    calls = {f"{verb} {path}" for _, verb, path, _ in http_options()}
    extra = {" ".join(binding) for dialect in DIALECTS for binding in dialect.bindings}
    probes = {f"GET {path}" for dialect in DIALECTS for path in dialect.probes}
    assert {row["call"] for _, row in rows()} <= calls | extra | probes | {"all"}


@pytest.fixture
def nebius() -> Dialect:
    """The dialect that the page adds."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(code[0], "nebius.py", "exec"), namespace)
    dialect: Dialect = namespace["NEBIUS"]
    return dialect


async def test_the_further_dialect_of_the_page_is_served_once_it_is_listed(
    nebius: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "DIALECTS", (*DIALECTS, nebius))
    async with staged(GatewayOptions()) as stage:
        async with openai.AsyncOpenAI(base_url=f"{stage.url}/nebius/v1", api_key="k", max_retries=0) as sdk:
            file = await sdk.files.create(file=("in.jsonl", b"{}\n"), purpose="batch")
            more = {"override_settings": {"model": "m"}}
            batch = await sdk.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", extra_body=more
            )
            assert stage.api.batches[batch.id].replace.model == "m"
            assert [each.id async for each in sdk.batches.list()] == [batch.id]
            assert stage.api.requests[-1] == v1.ListBatchesRequest(limit=10)
        assert "/nebius/v1/batches" in (await stage.http.get("/openapi.json")).json()["paths"]


def test_the_further_dialect_of_the_page_works(nebius: Dialect) -> None:
    dialects = (*DIALECTS, nebius)
    route, _ = Routes(dialects).match("POST", "/nebius/v1/batches/")
    assert (route.dialect, route.method.name) == (nebius, "CreateBatch")
    assert "/nebius/v1/batches/{batch_id}" in document(dialects)["paths"]
    request = v1.CreateBatchRequest()
    nebius.reading.take(request, b'{"override_settings": {"model": "m", "temperature": 1}, "endpoint": "/v1/x"}')
    assert request == v1.CreateBatchRequest(endpoint="/v1/x", replace=v1.Replace(model="m"))


def test_names_and_prefixes_are_nobody_elses() -> None:
    prefixes = [prefix for dialect in DIALECTS for prefix in dialect.prefixes]
    assert len(set(prefixes)) == len(prefixes)
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
async def test_an_idempotency_key_is_passed_on_and_its_reuse_is_a_conflict(stage: Stage, dialect: Dialect) -> None:
    stage.api.store(b"{}\n")
    path = str(dialect.spell("/v1/batches"))
    body = {"input_file_id": "file-0", "endpoint": "/v1/x", "completion_window": "24h"}
    headers = {"Idempotency-Key": "k-1"}
    assert (await stage.http.post(path, json=body, headers=headers)).status_code == 200
    request = stage.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    assert request.idempotency_key == "k-1"
    reused = Failure(grpc.StatusCode.ALREADY_EXISTS, "Another request.", "IDEMPOTENCY_KEY_REUSED")
    stage.api.failures["*"] = reused
    reply = await stage.http.post(path, json=body, headers=headers)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (409, "false")
    assert "Another request." in reply.text


@pytest.mark.parametrize("name", ["openai", "azure", "groq", "novita", "cerebras"])
async def test_a_missing_key_is_told_in_openais_words(stage: Stage, name: str) -> None:
    words = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY)"
    )
    stage.api.failures["*"] = Failure(grpc.StatusCode.UNAUTHENTICATED, words, "MISSING_API_KEY")
    dialect = next(each for each in DIALECTS if each.name == name)
    reply = await stage.http.get(str(dialect.spell("/v1/batches")))
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
    assert (reply.status_code, reply.json()) == (401, {"error": error})


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
@pytest.mark.parametrize("header", ["api-key", "x-api-key"])
async def test_a_key_in_another_header_is_a_bearer_token(stage: Stage, dialect: Dialect, header: str) -> None:
    await stage.http.get(str(dialect.spell("/v1/batches")), headers={header: "k"})
    assert stage.api.metadata["authorization"] == "Bearer k"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: str(dialect.name))
async def test_what_the_caller_says_of_lines_is_united_with_the_dialects(stage: Stage, dialect: Dialect) -> None:
    stage.api.store(b"{}\n")
    rules = {"default_target": True, "single_model": False}
    body = {"input_file_id": "file-0", "line_rules": rules}
    await stage.http.post(str(dialect.spell("/v1/batches")), json=body)
    request = stage.api.requests[-1]
    assert isinstance(request, v1.CreateBatchRequest)
    drops = dialect.name == "siliconflow"
    assert request.line_rules.default_target
    assert request.line_rules.drop_stream == drops
