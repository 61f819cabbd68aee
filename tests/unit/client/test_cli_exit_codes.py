from __future__ import annotations

import grpc
import pytest
from batchwire import v1
from batchwire_client._cli.exit_codes import MEANINGS, cli_error_of, exit_code_of
from batchwire_client.errors import BatchwireError, CorruptDownload, DeadlineExceeded, NotFound, ServerUnavailable

from tests.unit.client.plans import snapshot


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("message", code=grpc.StatusCode.NOT_FOUND), 3),
        (ServerUnavailable("message"), 4),
        (DeadlineExceeded("message"), 4),
        (CorruptDownload("message"), 4),
    ],
)
def test_each_error_has_an_exit_code_with_a_meaning(error: BatchwireError, code: int) -> None:
    assert cli_error_of(error).code == code
    assert code in MEANINGS


@pytest.mark.parametrize(
    ("status", "failed", "code"),
    [
        (v1.BATCH_STATUS_COMPLETED, 0, 0),
        (v1.BATCH_STATUS_COMPLETED, 1, 1),
        (v1.BATCH_STATUS_FAILED, 0, 1),
        (v1.BATCH_STATUS_EXPIRED, 0, 1),
        (v1.BATCH_STATUS_CANCELLED, 0, 1),
    ],
)
def test_the_exit_code_of_a_batch_follows_status_and_failed_lines(
    status: v1.BatchStatus.ValueType, failed: int, code: int
) -> None:
    assert exit_code_of(snapshot(v1.Batch(id="b"), status, 1000, 1000 - failed, failed)) == code
