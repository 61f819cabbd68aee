from __future__ import annotations

from pathlib import Path

from batchwire import v1

from tests.unit.client.cli import LINES, Batchwire, json_lines
from tests.unit.client.fake_server import FakeServer
from tests.unit.client.plans import completes


def test_upload_prints_the_id(batchwire: Batchwire, server: FakeServer, requests: Path) -> None:
    result = batchwire("upload", requests, "--filename", "n.jsonl", "--expires-after", 3600)
    (file,) = (file for file, _ in server.files.values())
    assert result.stdout == f"{file.id}\n"
    assert file.filename == "n.jsonl"


def test_upload_in_parts_stores_the_same_content(batchwire: Batchwire, server: FakeServer, requests: Path) -> None:
    (file,) = json_lines(batchwire("--json", "upload", requests, "--in-parts"))
    assert server.files[file["id"]][1] == LINES
    assert file["status"] == "processed"
    assert file["created_at"] == 1_700_000_000
    assert file["expires_at"] is None


def test_create_takes_the_endpoint_from_the_first_line(batchwire: Batchwire, server: FakeServer) -> None:
    result = batchwire("create", server.store(LINES).id)
    (batch,) = server.batches.values()
    assert result.stdout == f"{batch.id}\n"
    assert batch.endpoint == "/v1/embeddings"


def test_create_takes_the_endpoint_option_without_reading_the_file(batchwire: Batchwire, server: FakeServer) -> None:
    batchwire("create", server.store(LINES).id, "--endpoint", "/v1/responses")
    assert [batch.endpoint for batch in server.batches.values()] == ["/v1/responses"]
    assert "DownloadFile" not in server.calls


def test_watch_with_output_downloads_the_output_file(batchwire: Batchwire, server: FakeServer, out: Path) -> None:
    result = batchwire("watch", server.start(LINES).id, "-o", out)
    assert result.exit_code == 0
    assert out.read_bytes() == LINES
    assert "completed" in result.stdout


def test_watch_with_json_prints_each_snapshot(batchwire: Batchwire, server: FakeServer) -> None:
    server.plan = lambda batch, lines: completes(batch, lines, failed=1)
    result = batchwire("--json", "watch", server.start(LINES).id)
    assert result.exit_code == 1
    statuses = [batch["status"] for batch in json_lines(result)]
    assert statuses == ["validating", "in_progress", "in_progress", "finalizing", "completed"]


def test_watch_refuses_errors_without_output(batchwire: Batchwire, out: Path) -> None:
    assert batchwire("watch", "batch_x", "--errors", out).exit_code == 2


def test_results_prints_the_lines_unchanged(batchwire: Batchwire, server: FakeServer) -> None:
    batch = server.start(LINES)
    server.results[batch.id] = [v1.StreamResultsResponse(data=b'{"a":1.0}\n{"b":2}\n', next_offset=9)]
    assert batchwire("results", batch.id).stdout_bytes == b'{"a":1.0}\n{"b":2}\n'


def test_cancel_prints_the_status(batchwire: Batchwire, server: FakeServer) -> None:
    batch = server.start(LINES)
    assert f"{batch.id} cancelling" in batchwire("cancel", batch.id).stdout
    assert json_lines(batchwire("--json", "cancel", batch.id))[0]["status"] == "cancelling"


def test_retry_prints_the_id_of_the_new_batch(batchwire: Batchwire, server: FakeServer) -> None:
    result = batchwire("retry", "batch_1", "--window", "2h")
    (batch,) = server.batches.values()
    assert result.stdout == f"{batch.id}\n"
    assert [(asked.retry_of, asked.completion_window) for asked in server.requests["CreateBatch"]] == [
        ("batch_1", "2h")
    ]


def test_list_prints_a_table_newest_first(batchwire: Batchwire, server: FakeServer) -> None:
    ids = [server.start(LINES).id for _ in range(3)]
    head, *rows = batchwire("list", "--limit", 2).stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "DONE", "FAILED", "TOTAL", "CREATED", "ENDPOINT"]
    assert [row.split()[0] for row in rows] == ids[:0:-1]
    assert [batch["id"] for batch in json_lines(batchwire("--json", "list"))] == ids[::-1]


def test_list_prints_files(batchwire: Batchwire, server: FakeServer) -> None:
    file = server.store(LINES, "in.jsonl")
    server.store(LINES, purpose="user_data")
    _, row = batchwire("list", "--files", "--purpose", "batch").stdout.splitlines()
    assert row.split()[0] == file.id
    assert row.endswith("in.jsonl")
    assert len(json_lines(batchwire("--json", "list", "--files"))) == 2


def test_an_empty_list_prints_only_the_header(batchwire: Batchwire) -> None:
    assert len(batchwire("list").stdout.splitlines()) == 1
    assert batchwire("--json", "list").stdout == ""


def test_get_prints_a_batch_or_a_file(batchwire: Batchwire, server: FakeServer) -> None:
    batch = server.start(LINES)
    text = batchwire("get", batch.id).stdout
    assert "status         validating" in text
    assert "2023-11-14 22:13:20Z" in text
    assert json_lines(batchwire("--json", "get", "--file", batch.input_file_id))[0]["bytes"] == len(LINES)


def test_download_writes_to_stdout_or_a_path(batchwire: Batchwire, server: FakeServer, out: Path) -> None:
    file = server.store(LINES)
    assert batchwire("download", file.id).stdout_bytes == LINES
    assert batchwire("download", file.id, "-o", out).exit_code == 0
    assert out.read_bytes() == LINES
    assert batchwire("download", file.id, "-o", out).exit_code == 2
    assert batchwire("download", file.id, "-o", out.parent, "--force").exit_code == 2


def test_models_prints_a_table(batchwire: Batchwire) -> None:
    assert [line.split()[0] for line in batchwire("models").stdout.splitlines()] == ["ID", "echo", "qwen3"]
    assert json_lines(batchwire("--json", "models"))[0] == {"id": "echo", "created": None, "owned_by": "batchwire"}
