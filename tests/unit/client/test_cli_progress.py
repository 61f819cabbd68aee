from __future__ import annotations

import io

from batchwire import v1
from batchwire_client._cli.progress import PlainLines, batch_text, display_on, transfer_text
from batchwire_client._cli.rate import Rate
from rich.console import Console

from tests.unit.client.cli import Clock
from tests.unit.client.plans import snapshot


def running(
    completed: int, failed: int = 0, status: v1.BatchStatus.ValueType = v1.BATCH_STATUS_IN_PROGRESS
) -> v1.Batch:
    return snapshot(v1.Batch(id="b"), status, 1000, completed, failed)


def test_the_text_of_a_running_batch_has_counts_rate_and_time_left() -> None:
    clock = Clock()
    rate = Rate(clock)
    rate.record(0)
    clock.now = 2
    rate.record(200)
    assert batch_text(running(190, 10), rate) == "190/1,000 done · 10 failed · 100.0 lines/s · 8s left"


def test_the_text_of_a_transfer_has_bytes_and_rate() -> None:
    clock = Clock()
    rate = Rate(clock)
    rate.record(0)
    assert transfer_text(0, 5_000_000, rate) == "0.0/5.0 MB"
    clock.now = 1
    rate.record(2_500_000)
    assert transfer_text(2_500_000, 5_000_000, rate) == "2.5/5.0 MB · 2.5 MB/s"
    assert transfer_text(2_500_000, None, rate) == "2.5 MB · 2.5 MB/s"


def test_plain_lines_of_a_batch_come_at_intervals_and_at_its_end() -> None:
    clock, out = Clock(), io.StringIO()
    with PlainLines(Console(file=out), clock).batch() as update:
        for second in range(12):
            clock.now = second
            update(running(second))
        update(running(12, status=v1.BATCH_STATUS_COMPLETED))
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["0/1,000", "5/1,000", "10/1,000", "12/1,000"]
    assert lines[-1].startswith("completed: ")


def test_plain_lines_of_a_transfer_end_with_the_total() -> None:
    clock, out = Clock(), io.StringIO()
    with PlainLines(Console(file=out), clock).transfer("upload") as update:
        for second in range(8):
            clock.now = second
            update(second * 1_000_000, 7_000_000)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["5.0/7.0", "7.0/7.0"]


def test_a_terminal_shows_bars() -> None:
    out = io.StringIO()
    display = display_on(Console(file=out, force_terminal=True, width=120))
    with display.transfer("upload") as update_transfer:
        update_transfer(1_000_000, 2_000_000)
    with display.batch() as update_batch:
        update_batch(snapshot(v1.Batch(id="b"), v1.BATCH_STATUS_VALIDATING))
        update_batch(running(500, 3))
    text = out.getvalue()
    for part in ("upload", "1.0/2.0 MB", "in_progress", "500/1,000 done", "3 failed"):
        assert part in text
