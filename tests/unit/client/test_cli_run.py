from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from batchwire import v1

from tests.unit.client.cli import LINES, Batchwire, json_lines, names_in
from tests.unit.client.fake_server import Failure, FakeServer
from tests.unit.client.plans import Step, completes, snapshot


def test_run_uploads_creates_watches_and_downloads(batchwire: Batchwire, requests: Path, out: Path) -> None:
    result = batchwire("run", requests, "--output", out)
    assert result.exit_code == 0, result.output
    assert out.read_bytes() == LINES
    assert "completed: 4 of 4 lines done, 0 failed" in result.stdout
    assert "upload: " in result.stderr
    assert "in_progress: 0/4 done" in result.stderr
    assert "download out.jsonl: " in result.stderr
    assert names_in(out.parent) == {"requests.jsonl", "out.jsonl"}


def test_run_takes_the_endpoint_from_the_first_line(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path
) -> None:
    batchwire("run", requests, "-o", out, "--window", "2h", "--metadata", "team=a", "--metadata", "why=x=y")
    (request,) = server.requests["CreateBatch"]
    assert isinstance(request, v1.CreateBatchRequest)
    assert (request.endpoint, request.completion_window) == ("/v1/embeddings", "2h")
    assert dict(request.metadata) == {"team": "a", "why": "x=y"}


@pytest.mark.parametrize("first", [b'{"custom_id":"a"}', b"no json", b"[1]", b'{"url":7}'])
def test_run_takes_the_default_endpoint_if_the_first_line_has_no_url(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path, first: bytes
) -> None:
    requests.write_bytes(b"\n" + first)
    batchwire("run", requests, "-o", out)
    assert [getattr(r, "endpoint", "") for r in server.requests["CreateBatch"]] == ["/v1/chat/completions"]


def test_run_with_json_prints_the_ended_batch_and_nothing_else(batchwire: Batchwire, requests: Path, out: Path) -> None:
    (batch,) = json_lines(batchwire("--json", "run", requests, "-o", out, "--metadata", "team=a"))
    assert batch["status"] == "completed"
    assert batch["created_at"] is None
    assert batch["metadata"] == {"team": "a"}
    assert batch["request_counts"] == {"total": 4, "completed": 4, "failed": 0}
    assert (batch["error_file_id"], batch["errors"]) == (None, [])


def test_run_writes_failed_lines_beside_the_output(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path
) -> None:
    server.plan = lambda batch, lines: completes(batch, lines, failed=1)
    result = batchwire("run", requests, "-o", out)
    assert result.exit_code == 1
    assert out.read_bytes().count(b"\n") == 3
    assert out.with_name("out.jsonl.errors.jsonl").read_bytes().count(b"\n") == 1
    assert "1 line failed" in result.stderr


def test_run_reports_that_every_line_failed(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path, tmp_path: Path
) -> None:
    server.plan = lambda batch, lines: completes(batch, lines, failed=4)
    result = batchwire("run", requests, "-o", out, "--errors", tmp_path / "err.jsonl")
    assert result.exit_code == 1
    assert not out.exists()
    assert (tmp_path / "err.jsonl").read_bytes() == LINES
    assert "No line succeeded" in result.stderr


def test_run_prints_the_errors_of_validation(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path
) -> None:
    def plan(batch: v1.Batch, _lines: list[bytes]) -> list[Step]:
        failed = snapshot(batch, v1.BATCH_STATUS_FAILED)
        failed.errors.add(code="invalid_json_line", message="not JSON", line=17)
        failed.errors.add(code="model_not_found", message="no [bold]such[/] model", param="body.model", line=2)
        return [failed]

    server.plan = plan
    result = batchwire("run", requests, "-o", out)
    assert result.exit_code == 1
    for text in ("17", "invalid_json_line", "not JSON", "body.model", "no [bold]such[/] model"):
        assert text in result.stderr
    assert not out.exists()


@pytest.mark.parametrize("status", [v1.BATCH_STATUS_EXPIRED, v1.BATCH_STATUS_CANCELLED])
def test_run_downloads_the_finished_lines_of_an_expired_or_cancelled_batch(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path, status: v1.BatchStatus.ValueType
) -> None:
    server.plan = lambda batch, lines: [snapshot(batch, status, len(lines), 2, 2)]
    assert batchwire("run", requests, "-o", out).exit_code == 1
    assert out.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("taken", ["out.jsonl", "out.jsonl.errors.jsonl"])
def test_run_replaces_existing_files_only_with_force(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path, taken: str
) -> None:
    out.with_name(taken).write_text("precious")
    result = batchwire("run", requests, "-o", out)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert server.calls == []
    assert batchwire("run", requests, "-o", out, "--force").exit_code == 0
    assert out.read_bytes() == LINES


def test_run_leaves_no_partial_file_if_the_download_fails(
    batchwire: Batchwire, server: FakeServer, requests: Path, out: Path
) -> None:
    server.fail("DownloadFile", Failure(grpc.StatusCode.INTERNAL, after=3))
    out.write_text("before")
    result = batchwire("run", requests, "-o", out, "--force")
    assert result.exit_code == 3
    assert out.read_text() == "before"
    assert names_in(out.parent) == {"requests.jsonl", "out.jsonl"}


def test_run_refuses_a_missing_an_empty_or_a_directory_input(
    batchwire: Batchwire, server: FakeServer, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    for name, complaint in (("missing.jsonl", "does not exist"), (".", "is a directory"), ("empty.jsonl", "is empty")):
        result = batchwire("run", tmp_path / name, "-o", out)
        assert result.exit_code == 2
        assert complaint in result.stderr
        assert "Traceback" not in result.stderr
    assert server.calls == []


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-o", "nowhere/out"], "does not exist"),
        (["-o", "requests.jsonl"], "input cannot be the output"),
        (["-o", "out", "--errors", "out"], "name the same file"),
        (["-o", "out", "--metadata", "novalue"], "KEY=VALUE"),
        ([], "--output"),
    ],
)
def test_run_explains_wrong_usage(
    batchwire: Batchwire, requests: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], complaint: str
) -> None:
    monkeypatch.chdir(requests.parent)
    result = batchwire("run", "requests.jsonl", *options)
    assert result.exit_code == 2
    assert complaint in result.stderr
