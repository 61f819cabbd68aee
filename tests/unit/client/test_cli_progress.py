import io

import grpc
import pytest
from batchwire import v1
from batchwire_client._cli.exit_codes import MEANINGS, cli_error_of, exit_code_of
from batchwire_client._cli.progress import Lines, batch_text, display_on, transfer_text
from batchwire_client._cli.rate import Rate, duration
from batchwire_client.errors import BatchwireError, CorruptDownload, DeadlineExceeded, NotFound, ServerUnavailable
from rich.console import Console

from tests.unit.client.plans import snapshot


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def running(
    completed: int, failed: int = 0, status: v1.BatchStatus.ValueType = v1.BATCH_STATUS_IN_PROGRESS
) -> v1.Batch:
    return snapshot(v1.Batch(id="b"), status, 1000, completed, failed)


def test_pace_measures_over_its_window() -> None:
    clock = Clock()
    pace = Rate(clock, window=30)
    pace.reach(0)
    assert pace.per_second() is None
    for second in range(1, 101):
        clock.now = second
        pace.reach(min(second, 50) + 10 * max(second - 50, 0))
    assert pace.per_second() == pytest.approx(10)
    assert pace.seconds_left(550 + 100) == pytest.approx(10)
    assert pace.seconds_left(None) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (42, "42s"), (185, "3m 05s"), (7620, "2h 07m")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_running_batch_tells_done_failed_rate_and_time_left() -> None:
    clock = Clock()
    pace = Rate(clock)
    pace.reach(0)
    clock.now = 2
    pace.reach(200)
    assert batch_text(running(190, 10), pace) == "190/1,000 done · 10 failed · 100.0 lines/s · 8s left"


def test_a_transfer_tells_bytes_and_speed() -> None:
    clock = Clock()
    pace = Rate(clock)
    pace.reach(0)
    assert transfer_text(0, 5_000_000, pace) == "0.0/5.0 MB"
    clock.now = 1
    pace.reach(2_500_000)
    assert transfer_text(2_500_000, 5_000_000, pace) == "2.5/5.0 MB · 2.5 MB/s"
    assert transfer_text(2_500_000, None, pace) == "2.5 MB · 2.5 MB/s"


def test_elsewhere_than_on_a_terminal_lines_come_now_and_then() -> None:
    clock, out = Clock(), io.StringIO()
    with Lines(Console(file=out), clock).batch() as note:
        for second in range(12):
            clock.now = second
            note(running(second))
        note(running(12, status=v1.BATCH_STATUS_COMPLETED))
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["0/1,000", "5/1,000", "10/1,000", "12/1,000"]
    assert lines[-1].startswith("completed: ")


def test_a_transfer_elsewhere_ends_with_its_whole() -> None:
    clock, out = Clock(), io.StringIO()
    with Lines(Console(file=out), clock).transfer("upload") as note:
        for second in range(8):
            clock.now = second
            note(second * 1_000_000, 7_000_000)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["5.0/7.0", "7.0/7.0"]


def test_a_terminal_gets_bars() -> None:
    out = io.StringIO()
    display = display_on(Console(file=out, force_terminal=True, width=120))
    with display.transfer("upload") as sent:
        sent(1_000_000, 2_000_000)
    with display.batch() as note:
        note(snapshot(v1.Batch(id="b"), v1.BATCH_STATUS_VALIDATING))
        note(running(500, 3))
    text = out.getvalue()
    for part in ("upload", "1.0/2.0 MB", "in_progress", "500/1,000 done", "3 failed"):
        assert part in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("said", code=grpc.StatusCode.NOT_FOUND), 3),
        (ServerUnavailable("said"), 4),
        (DeadlineExceeded("said"), 4),
        (CorruptDownload("said"), 4),
    ],
)
def test_every_error_has_its_exit_code(error: BatchwireError, code: int) -> None:
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
def test_how_a_batch_ended_is_the_exit_code(status: v1.BatchStatus.ValueType, failed: int, code: int) -> None:
    assert exit_code_of(running(1000 - failed, failed, status)) == code
