"""Ten thousand lines: each exactly once, in input order, with exact counts."""

from __future__ import annotations

from collections.abc import Callable

from batchwire_client import Client

from bench.upstream import MODEL, MockUpstream
from tests.e2e.conftest import Start
from tests.support.lines import chat_file, check_invariants, ids_of
from tests.support.server import Server

LINES = 10_000


def check_run(server: Server, model: str) -> None:
    """Run ten thousand lines on a model and check the output."""
    with Client(server.grpc) as client:
        file = client.files.upload(chat_file(LINES, model), filename="in.jsonl")
        assert file.line_count == LINES
        batch = client.batches.wait(client.batches.create(file.id).id, timeout=90)
        counts, usage = batch.request_counts, batch.usage
        output = b"".join(client.files.download(batch.output_file_id))
    assert (counts.total, counts.completed, counts.failed) == (LINES, LINES, 0)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (LINES, LINES, 2 * LINES)
    check_invariants(LINES, LINES, 0, output, b"")
    assert ids_of(output) == [f"line-{number}" for number in range(LINES)]


def test_ten_thousand_lines_on_the_echo_model(server: Server) -> None:
    check_run(server, "echo")


def test_ten_thousand_lines_on_an_upstream_with_latency(
    start: Start, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream(0.005, 0.05))
    check_run(start("--upstream", upstream.base_url), MODEL)
    assert len(upstream.calls) == LINES
    assert len(set(upstream.calls)) == LINES
    assert upstream.max_in_flight <= 256
