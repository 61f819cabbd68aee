"""Validating: the whole input is read, then the batch is accepted or rejected."""

from __future__ import annotations

import pytest
from batchwire_server.core.catalog import Catalog, Route
from batchwire_server.core.errors import LeaseLostError, UnknownModelsError
from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import Batch, TaskKind

from tests.ports.stores import a_batch
from tests.support.scripted_upstream import ScriptedUpstream
from tests.unit.worker.environment import Environment, body, input_line


def catalog(models: list[str] | None = None) -> Catalog:
    return Catalog([Route(ScriptedUpstream(models=models or ["m", "n"]))])


async def validated(env: Environment, data: bytes, **more: bool) -> Batch:
    batch = await env.batch(data)
    await env.validator(catalog(), **more)(await env.harness.claim_one(TaskKind.VALIDATE))
    return await env.current(batch)


async def test_a_valid_input_is_accepted_with_line_count_and_model(env: Environment) -> None:
    batch = await validated(env, b"".join(input_line(number) for number in range(1, 2001)))
    assert (batch.status, batch.total, batch.model) == (BatchStatus.IN_PROGRESS, 2000, "m")
    assert batch.open_shards == len(await env.harness.tasks(batch, TaskKind.RUN)) > 1


async def test_a_batch_of_several_models_has_no_model(env: Environment) -> None:
    batch = await validated(env, input_line(1) + input_line(2, "n"))
    assert (batch.status, batch.model, batch.open_shards) == (BatchStatus.IN_PROGRESS, None, 2)


async def test_an_invalid_line_fails_the_whole_batch(env: Environment) -> None:
    batch = await validated(env, input_line(1) + b"{\n" + input_line(1))
    assert batch.status is BatchStatus.FAILED
    assert [(error.code, error.line) for error in batch.errors] == [
        ("invalid_json_line", 2),
        ("duplicate_custom_id", 3),
    ]
    assert await env.harness.tasks(batch) == []


async def test_several_models_fail_the_batch_unless_mixed_models_are_allowed(env: Environment) -> None:
    batch = await validated(env, input_line(1) + input_line(2, "n"), mixed_models=False)
    assert [error.code for error in batch.errors] == ["mismatched_model"]


@pytest.mark.parametrize("how", ["never was", "is gone"])
async def test_a_missing_input_file_fails_the_batch(env: Environment, how: str) -> None:
    key = "files/gone" if how == "is gone" else None
    batch = await env.store.add_batch(a_batch(input_file_id="file-9", input_key=key))
    await env.validator(catalog())(await env.harness.claim_one(TaskKind.VALIDATE))
    found = await env.current(batch)
    assert found.status is BatchStatus.FAILED
    assert [(error.code, error.param) for error in found.errors] == [("invalid_request", "file_id")]
    assert "file-9" in found.errors[0].message


async def test_a_batch_is_undecided_while_no_upstream_lists_its_models(env: Environment) -> None:
    batch = await env.batch(input_line(1))
    task = await env.harness.claim_one(TaskKind.VALIDATE)
    silent = Catalog([Route(ScriptedUpstream(models=None))])
    with pytest.raises(UnknownModelsError):
        await env.validator(silent)(task)
    assert (await env.current(batch)).status is BatchStatus.VALIDATING


async def test_a_worker_that_lost_the_lease_decides_nothing(env: Environment) -> None:
    batch = await env.batch(input_line(1))
    task = await env.harness.claim_one(TaskKind.VALIDATE)
    await env.harness.expire_lease(task)
    await env.harness.claim_one(TaskKind.VALIDATE, "w2")
    with pytest.raises(LeaseLostError):
        await env.validator(catalog())(task)
    assert (await env.current(batch)).status is BatchStatus.VALIDATING


async def test_too_many_lines_fail_the_batch(env: Environment) -> None:
    batch = await env.batch(b"".join(input_line(number) for number in range(1, 3000)))
    await env.validator(catalog(), max_lines=10)(await env.harness.claim_one(TaskKind.VALIDATE))
    assert [error.code for error in (await env.current(batch)).errors] == ["too_many_tasks"]


async def test_a_deeply_nested_line_does_not_block_validation(env: Environment) -> None:
    deep = body(2).replace(b"}", b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    batch = await validated(env, input_line(1) + input_line(2).replace(body(2), deep))
    assert batch.status is not BatchStatus.VALIDATING


async def test_a_line_with_a_duplicate_key_does_not_block_validation(env: Environment) -> None:
    batch = await validated(env, input_line(1).replace(b'{"custom_id"', b'{"custom_id":1,"custom_id"'))
    assert batch.status is BatchStatus.FAILED or batch.total == 1
