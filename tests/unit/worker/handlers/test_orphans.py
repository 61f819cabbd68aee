"""Orphans: old blobs that no row refers to are deleted, all others kept."""

from __future__ import annotations

import logging

import pytest
from batchwire_server.core import blob_keys, ids
from batchwire_server.core.ports import ClaimRequest, ShardReport
from batchwire_server.core.records import TaskKind, UploadPart
from batchwire_server.worker.handlers.orphans import Orphans

from tests.ports.stores import TTL, a_batch, a_file, an_upload, segment
from tests.unit.worker.environment import Environment
from tests.unit.worker.handlers.test_sweep import sweep

DAY = 86400.0
ORPHANS = [
    blob_keys.file_key(ids.file_id()),
    blob_keys.part_key(ids.upload_id(), ids.part_id()),
    blob_keys.segment_key(ids.batch_id(), 17, 2, 0),
]


async def look(env: Environment, interval_s: float = 3600.0) -> None:
    task = await env.harness.claim_one(TaskKind.ORPHANS)
    await Orphans(env.store, env.store, env.blobs, interval_s=interval_s, age_s=DAY)(task)


async def store(env: Environment, *keys: str, age_s: float = DAY + 60) -> None:
    """Store blobs as if `age_s` seconds ago."""
    for key in keys:
        await env.blobs.put(key, b"x")
        env.blobs.stored_at[key] -= age_s


async def test_old_blobs_without_a_row_are_deleted(env: Environment, caplog: pytest.LogCaptureFixture) -> None:
    young = [blob_keys.file_key(ids.file_id()), blob_keys.segment_key(ids.batch_id(), 1, 1, 0)]
    await store(env, *ORPHANS)
    await store(env, *young, age_s=DAY - 60)
    with caplog.at_level(logging.INFO):
        await look(env)
    assert sorted(env.blobs.blobs) == sorted(young)
    assert "deleted 1 blobs below segments" in caplog.text


async def test_a_young_blob_whose_row_is_not_written_yet_is_kept(env: Environment) -> None:
    file = a_file()
    await env.blobs.put(file.blob_key, b"x")
    await look(env)
    await env.store.add_file(file, None)
    assert await env.blobs.read(file.blob_key, 0, 9) == b"x"


async def test_blobs_of_files_and_uploads_are_kept(env: Environment) -> None:
    file = await env.store.add_file(a_file(), None)
    upload = await env.store.add_upload(an_upload(), 60)
    part = UploadPart(ids.part_id(), upload.id, 1, blob_keys.part_key(upload.id, f"part_{'0' * 24}"))
    await env.store.add_part(part)
    await store(env, file.blob_key, part.blob_key, *ORPHANS)
    await look(env)
    assert sorted(env.blobs.blobs) == sorted([file.blob_key, part.blob_key])


async def test_the_input_of_a_running_batch_is_kept_after_its_file_was_deleted(env: Environment) -> None:
    file = await env.store.add_file(a_file(), None)
    await env.harness.start_batch(a_batch(input_key=file.blob_key))
    await store(env, file.blob_key)
    await env.store.delete_file("acme", file.id)
    await sweep(env)
    await look(env)
    assert list(env.blobs.blobs) == [file.blob_key]


async def test_recorded_segments_of_a_running_batch_are_kept_and_others_deleted(env: Environment) -> None:
    await env.harness.start_batch()
    task = await env.harness.claim_one(TaskKind.RUN)
    recorded, lost = segment(task), segment(task, 1)
    await env.store.record([ShardReport(task, recorded, done=False)])
    await store(env, recorded.blob_key, lost.blob_key)
    await look(env)
    assert list(env.blobs.blobs) == [recorded.blob_key]


async def test_blobs_under_foreign_keys_are_kept(env: Environment) -> None:
    foreign = ["files/holiday.jpg", "segments/b1/1", "elsewhere/x", f"{blob_keys.file_key(ids.file_id())}/more"]
    await store(env, *foreign)
    await look(env)
    assert sorted(env.blobs.blobs) == sorted(foreign)


async def test_the_next_run_waits_for_the_interval(env: Environment) -> None:
    await look(env)
    assert await env.store.claim(ClaimRequest("w1", [TaskKind.ORPHANS], ttl_s=TTL)) == []
    await env.harness.advance(3601)
    await look(env)


async def test_an_interval_of_0_switches_it_off(env: Environment) -> None:
    await store(env, *ORPHANS)
    await look(env, interval_s=0)
    assert sorted(env.blobs.blobs) == sorted(ORPHANS)
    assert await env.store.claim(ClaimRequest("w1", [TaskKind.ORPHANS], ttl_s=TTL)) == []


async def test_the_age_of_a_blob_follows_the_database_clock(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    await store(env, *ORPHANS, age_s=0)
    task = await env.harness.claim_one(TaskKind.ORPHANS)
    monkeypatch.setattr("time.time", lambda: task.claimed_at / 1000 + 10 * DAY)
    await Orphans(env.store, env.store, env.blobs, interval_s=3600, age_s=DAY)(task)
    assert sorted(env.blobs.blobs) == sorted(ORPHANS)
