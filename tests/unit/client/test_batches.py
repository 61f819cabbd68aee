from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

import grpc
import pytest
from batchwire import v1
from batchwire_client import Backoff, Client, Conflict, DeadlineExceeded, NotFound, RetryPolicy, ServerUnavailable

from tests.unit.client.fake_server import Failure, FakeServer
from tests.unit.client.plans import Step, completes, snapshot, waits_for

LINES = b'{"custom_id":"a"}\n{"custom_id":"b"}\n{"custom_id":"c"}\n'


def statuses(batches: list[v1.Batch]) -> list[str]:
    return [v1.BatchStatus.Name(batch.status).removeprefix("BATCH_STATUS_") for batch in batches]


def test_create_sends_all_arguments(client: Client, server: FakeServer) -> None:
    file = server.store(LINES)
    batch = client.batches.create(
        file, "/v1/embeddings", completion_window="2h", metadata={"team": "a"}, output_expires_after=7200
    )
    assert server.requests["CreateBatch"] == [
        v1.CreateBatchRequest(
            input_file_id=file.id,
            endpoint="/v1/embeddings",
            completion_window="2h",
            metadata={"team": "a"},
            output_expires_after=v1.ExpiresAfter(anchor="created_at", seconds=7200),
        )
    ]
    assert batch.id in server.batches


def test_create_is_not_retried(client: Client, server: FakeServer) -> None:
    file = server.store(LINES)
    server.unavailable("CreateBatch")
    with pytest.raises(ServerUnavailable):
        client.batches.create(file.id)
    assert not server.batches


def test_retry_sends_all_arguments(client: Client, server: FakeServer) -> None:
    batch = client.batches.retry("batch_1", completion_window="2h", output_expires_after=7200)
    assert server.requests["CreateBatch"] == [
        v1.CreateBatchRequest(
            retry_of="batch_1",
            completion_window="2h",
            output_expires_after=v1.ExpiresAfter(anchor="created_at", seconds=7200),
        )
    ]
    assert client.batches.retry(batch).id != batch.id
    assert server.requests["CreateBatch"][1].retry_of == batch.id


def test_get_is_retried(client: Client, server: FakeServer) -> None:
    batch = server.start()
    server.unavailable("GetBatch")
    assert client.batches.get(batch.id) == batch


def test_list_yields_all_pages_newest_first(client: Client, server: FakeServer) -> None:
    ids = [server.start().id for _ in range(5)]
    assert [batch.id for batch in client.batches.list(page_size=2)] == ids[::-1]
    assert server.calls == ["ListBatches"] * 3


def test_pages_are_fetched_only_as_needed(client: Client, server: FakeServer) -> None:
    for _ in range(5):
        server.start()
    listed = client.batches.list(page_size=2)
    assert len(list(islice(listed, 2))) == 2
    assert server.calls == ["ListBatches"]


def test_cancel_is_retried(client: Client, server: FakeServer) -> None:
    batch = server.start()
    server.unavailable("CancelBatch")
    assert client.batches.cancel(batch.id).status == v1.BATCH_STATUS_CANCELLING


def test_cancelling_an_ended_batch_raises_conflict(client: Client, server: FakeServer) -> None:
    batch = server.start()
    client.batches.wait(batch.id)
    with pytest.raises(Conflict) as caught:
        client.batches.cancel(batch.id)
    assert (caught.value.reason, caught.value.metadata) == ("BATCH_NOT_CANCELLABLE", {"status": "completed"})


def test_watch_yields_each_snapshot_until_the_batch_has_ended(client: Client, server: FakeServer) -> None:
    watched = list(client.batches.watch(server.start(LINES).id))
    assert statuses(watched) == ["VALIDATING", "IN_PROGRESS", "IN_PROGRESS", "FINALIZING", "COMPLETED"]


@pytest.mark.parametrize(("repeats", "times"), [(False, 1), (True, 3)])
def test_watch_skips_unchanged_snapshots_unless_repeats_is_set(
    client: Client, server: FakeServer, *, repeats: bool, times: int
) -> None:
    def plan(batch: v1.Batch, lines: list[bytes]) -> list[Step]:
        return [batch, batch, *completes(batch, lines)]

    server.plan = plan
    watched = statuses(list(client.batches.watch(server.start(LINES).id, repeats=repeats)))
    assert watched.count("VALIDATING") == times


@pytest.mark.parametrize(
    "failure",
    [
        Failure(grpc.StatusCode.UNAVAILABLE, after=2),
        Failure(grpc.StatusCode.CANCELLED, after=2),
        Failure(grpc.StatusCode.INTERNAL, after=2, message="Received RST_STREAM with error code 2"),
        Failure(None, after=2),
    ],
    ids=["unavailable", "cancelled", "reset", "ended early"],
)
def test_a_broken_watch_resumes_without_losing_the_end(
    connect: Callable[..., Client], server: FakeServer, failure: Failure
) -> None:
    server.fail("WatchBatch", failure)
    watched = list(connect(server.target).batches.watch(server.start(LINES).id))
    assert statuses(watched)[-1] == "COMPLETED"
    assert server.calls == ["WatchBatch"] * 2


def test_a_watch_resumes_after_the_server_restarts(connect: Callable[..., Client]) -> None:
    with FakeServer() as before:
        before.plan = waits_for(threading.Event())
        client = connect(before.target, retry_policy=RetryPolicy(streams=Backoff(0.05, longest=0.2, tries=100)))
        batch = before.start(LINES)
        watched = client.batches.watch(batch.id)
        assert statuses([next(watched), next(watched)]) == ["VALIDATING", "IN_PROGRESS"]
    with FakeServer(port=int(before.target.rpartition(":")[2])) as after:
        after.batches, after.steps = before.batches, {batch.id: deque(completes(batch, [b"a"]))}
        assert statuses(list(watched))[-1] == "COMPLETED"


def test_a_silent_watch_is_opened_again(connect: Callable[..., Client], server: FakeServer) -> None:
    client = connect(server.target, retry_policy=RetryPolicy(Backoff(0.01), Backoff(0.01), silence=0.1))
    server.fail("WatchBatch", Failure(silent=True, after=1))
    assert statuses(list(client.batches.watch(server.start(LINES).id)))[-1] == "COMPLETED"
    assert server.calls == ["WatchBatch"] * 2


def test_a_watch_that_breaks_after_the_terminal_snapshot_succeeds(client: Client, server: FakeServer) -> None:
    server.unavailable("WatchBatch", after=5)
    assert statuses(list(client.batches.watch(server.start(LINES).id)))[-1] == "COMPLETED"
    assert server.calls == ["WatchBatch"]


def test_a_broken_watch_fails_after_the_tries_for_streams(client: Client, server: FakeServer) -> None:
    batch = server.start(LINES)
    server.unavailable("WatchBatch", after=1)
    server.unavailable("WatchBatch", times=20)
    with pytest.raises(ServerUnavailable):
        list(client.batches.watch(batch.id))
    assert server.calls == ["WatchBatch"] * 4  # the tries of FAST_RETRIES.streams


def test_a_watch_that_never_opened_fails_after_the_tries_for_calls(client: Client, server: FakeServer) -> None:
    server.unavailable("WatchBatch", times=20)
    with pytest.raises(ServerUnavailable):
        list(client.batches.watch(server.start(LINES).id))
    assert server.calls == ["WatchBatch"] * 3  # the tries of FAST_RETRIES.calls


def test_watching_an_unknown_batch_raises_not_found(client: Client, server: FakeServer) -> None:
    with pytest.raises(NotFound):
        list(client.batches.watch("batch_x"))
    assert server.calls == ["WatchBatch"]


def test_closing_a_watch_cancels_the_call(client: Client, server: FakeServer) -> None:
    server.plan = waits_for(threading.Event())
    watched = client.batches.watch(server.start(LINES).id)
    next(watched)
    watched.close()  # type: ignore[attr-defined]  # a generator in both clients
    assert server.ended.acquire(timeout=10)


def test_wait_returns_the_ended_batch(client: Client, server: FakeServer) -> None:
    batch = client.batches.wait(server.start(LINES).id, timeout=30)
    assert (batch.status, batch.request_counts.completed) == (v1.BATCH_STATUS_COMPLETED, 3)


def test_wait_raises_deadline_exceeded_after_its_timeout(client: Client, server: FakeServer) -> None:
    server.plan = waits_for(threading.Event())
    batch = server.start(LINES)
    with pytest.raises(DeadlineExceeded, match=f"{batch.id} has not ended after 0.2 s"):
        client.batches.wait(batch.id, timeout=0.2)


def results_of(server: FakeServer, batch: v1.Batch) -> None:
    server.results[batch.id] = [
        v1.StreamResultsResponse(data=b'{"custom_id":"c"}\n', next_offset=10),
        v1.StreamResultsResponse(data=b"", next_offset=12),
        v1.StreamResultsResponse(data=b'{"custom_id":"a"}\n{"custom_id":"b"}\n', next_offset=30),
    ]


def test_results_yields_objects_in_the_order_in_which_they_finished(client: Client, server: FakeServer) -> None:
    batch = server.start(LINES)
    results_of(server, batch)
    assert [line["custom_id"] for line in client.batches.results(batch.id)] == ["c", "a", "b"]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_broken_results_resume_at_the_last_offset(client: Client, server: FakeServer, code: grpc.StatusCode) -> None:
    batch = server.start(LINES)
    results_of(server, batch)
    server.fail("StreamResults", Failure(code, after=1), Failure(code, after=1))
    assert [line["custom_id"] for line in client.batches.results(batch.id)] == ["c", "a", "b"]
    asked = [r.offset for r in server.requests["StreamResults"] if isinstance(r, v1.StreamResultsRequest)]
    assert asked == [0, 10, 12]


def test_stream_results_starts_at_the_offset(client: Client, server: FakeServer) -> None:
    batch = server.start(LINES)
    results_of(server, batch)
    assert [m.next_offset for m in client.batches.stream_results(batch.id, offset=10)] == [30]


def test_results_that_are_no_longer_streamable_raise_conflict(client: Client, server: FakeServer) -> None:
    batch = server.start(LINES)
    results_of(server, batch)
    server.fail("StreamResults", Failure(grpc.StatusCode.FAILED_PRECONDITION, reason="RESULTS_NOT_STREAMABLE"))
    with pytest.raises(Conflict):
        list(client.batches.results(batch.id))


@pytest.mark.parametrize("by_id", [True, False])
def test_output_and_errors_yield_the_lines_of_an_ended_batch(
    client: Client, server: FakeServer, *, by_id: bool
) -> None:
    server.plan = lambda batch, lines: completes(batch, lines, failed=1)
    batch = client.batches.wait(server.start(LINES).id)
    named = batch.id if by_id else batch
    assert [line["custom_id"] for line in client.batches.output(named)] == ["a", "b"]
    assert [line["custom_id"] for line in client.batches.errors(named)] == ["c"]


def test_output_and_errors_are_empty_for_a_batch_without_files(client: Client, server: FakeServer) -> None:
    ended = snapshot(server.start(LINES), v1.BATCH_STATUS_FAILED)
    assert (list(client.batches.output(ended)), list(client.batches.errors(ended))) == ([], [])


def test_output_of_a_running_batch_raises_value_error(client: Client, server: FakeServer) -> None:
    with pytest.raises(ValueError, match="validating"):
        list(client.batches.output(server.start(LINES)))
