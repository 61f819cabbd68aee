"""Invariants of every batch that has ended, whatever its status and whatever was killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import requests

ENDS = ("completed", "failed", "expired", "cancelled")
NEVER_RAN = {"batch_expired", "batch_cancelled", "request_timeout", "server_error"}


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch that has ended, and the lines of its output and error files."""

    batch: dict[str, Any]
    output: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def check_ended(url: str, batch_id: str, sent: bytes) -> Ended:
    """Read an ended batch and its files over REST, and check their invariants.

    Args:
        url: base URL of the server, without a version.
        batch_id: the batch to read.
        sent: content of its input file.
    """
    batch = _get(f"{url}/v1/batches/{batch_id}").json()
    output = _lines(url, batch, "output")
    errors = _lines(url, batch, "error")
    _check_times(batch)
    counts, validated = batch["request_counts"], batch["in_progress_at"] is not None
    total = len(sent.splitlines()) if validated else 0
    assert counts == {"total": total, "completed": len(output), "failed": len(errors)}
    assert len(output) + len(errors) == total
    if validated:
        _check_ids(sent, output, errors)
    for line in output:
        assert set(line) == {"id", "custom_id", "response", "error"}
        assert line["error"] is None
        assert line["response"]["status_code"] // 100 == 2
    for line in errors:
        assert set(line) == {"id", "custom_id", "response", "error"}
        if line["response"] is None:
            assert line["error"]["code"] in NEVER_RAN
            assert line["error"]["message"]
        else:
            assert line["error"] is None
            assert line["response"]["status_code"] // 100 != 2
    return Ended(batch, output, errors)


def _check_ids(sent: bytes, output: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
    """Check that each line is in one of the two files, once, and that both are in input order."""
    place = {json.loads(line)["custom_id"]: number for number, line in enumerate(sent.splitlines())}
    found = [[place[line["custom_id"]] for line in lines] for lines in (output, errors)]
    for places in found:
        assert places == sorted(places)
    assert sorted(found[0] + found[1]) == list(range(len(place)))
    ids = [line["id"] for line in (*output, *errors)]
    assert len(ids) == len(set(ids))


def _check_times(batch: dict[str, Any]) -> None:
    """Check that timestamps ascend, and that only those of states the batch was in are set."""
    status = batch["status"]
    assert status in ENDS
    assert {end for end in ENDS if batch[f"{end}_at"] is not None} == {status}
    if status == "completed":
        assert batch["in_progress_at"] is not None
        assert batch["finalizing_at"] is not None
    if status != "failed":
        assert batch["errors"] is None
    assert status != "cancelled" or batch["cancelling_at"] is not None
    way = ("created_at", "in_progress_at", "cancelling_at", "finalizing_at", f"{status}_at")
    times = [batch[name] for name in way if batch[name] is not None]
    assert times == sorted(times)


def _lines(url: str, batch: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the lines of the output or error file. A file without lines must not exist."""
    file_id = batch[f"{kind}_file_id"]
    if file_id is None:
        return []
    file = _get(f"{url}/v1/files/{file_id}").json()
    content = _get(f"{url}/v1/files/{file_id}/content").content
    assert (file["purpose"], file["filename"]) == ("batch_output", f"{batch['id']}_{kind}.jsonl")
    assert file["bytes"] == len(content) > 0
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def _get(url: str) -> requests.Response:
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer
