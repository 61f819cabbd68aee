"""Webhooks: endpoints and signatures, both handled by OpenAI's SDK, and retries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai as sdk
import pytest
from openai import OpenAI

from tests.e2e.conftest import Start
from tests.support.lines import chat_file
from tests.support.server import Server, wait_until

PRIVATE = {"BATCHWIRE_LIMITS__PRIVATE_WEBHOOKS": "true"}


@dataclass
class Receiver:
    """Deliveries received so far, and the statuses to respond with; the last one repeats."""

    statuses: list[int] = field(default_factory=lambda: [200])
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.taken.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0])
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield receiver
    server.shutdown()
    thread.join()
    server.server_close()


def client_of(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0, _strict_response_validation=True)


def run(client: OpenAI, content: bytes = chat_file(2)) -> str:
    """Create a batch. Return its id."""
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h").id


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_the_end_of_a_batch_is_delivered_and_the_sdk_verifies_it(start: Start, receiver: Receiver, end: str) -> None:
    server = start(**PRIVATE)
    with client_of(server) as client:
        hook = client.webhooks.create(name="n", url=receiver.url, event_types=["batch.completed", "batch.failed"])
        assert hook.signing_secret.startswith("whsec_")
        batch_id = run(client, chat_file(2) if end == "completed" else b"{}\n")
        wait_until(lambda: bool(receiver.taken))
        headers, body = receiver.taken[0]
        event = client.webhooks.unwrap(body, headers, secret=hook.signing_secret)
        assert event.type == f"batch.{end}"
        assert event.data.id == batch_id  # type: ignore[union-attr]  # other events have other data
        assert headers["webhook-id"] == event.id
        assert client.batches.retrieve(batch_id).status == end
    assert len(receiver.taken) == 1


def test_a_failed_delivery_is_retried_with_the_same_id(start: Start, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]
    server = start(**PRIVATE)
    with client_of(server) as client:
        client.webhooks.create(name="n", url=receiver.url, event_types=["batch.completed"])
        run(client)
        wait_until(lambda: len(receiver.taken) == 2)
    (first, body), (second, again) = receiver.taken
    assert (first["webhook-id"], body) == (second["webhook-id"], again)


def test_a_redirect_is_a_failed_delivery(start: Start, receiver: Receiver) -> None:
    receiver.statuses, receiver.headers = [302, 200], {"location": "/elsewhere"}
    server = start(**PRIVATE)
    with client_of(server) as client:
        client.webhooks.create(name="n", url=receiver.url, event_types=["batch.completed"])
        run(client)
        wait_until(lambda: len(receiver.taken) == 2)
    assert receiver.taken[0][0]["webhook-id"] == receiver.taken[1][0]["webhook-id"]


def test_a_pending_delivery_is_made_after_a_kill(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500, 500, 200]
    with Server(tmp_path, environment=PRIVATE) as server, client_of(server) as client:
        client.webhooks.create(name="n", url=receiver.url, event_types=["batch.completed"])
        run(client)
        wait_until(lambda: bool(receiver.taken))
        server.kill()
        server.start()
        wait_until(lambda: len(receiver.taken) == 3)
    assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 1


def test_a_receiver_that_never_responds_delays_no_batch(start: Start) -> None:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # accepts connections and never responds
    try:
        server = start(**PRIVATE)
        with client_of(server) as client:
            url = f"http://127.0.0.1:{listening.server_port}/"
            for number in range(6):
                client.webhooks.create(name=str(number), url=url, event_types=["batch.completed"])
            for _ in range(3):
                batch_id = run(client)
                wait_until(lambda batch_id=batch_id: client.batches.retrieve(batch_id).status == "completed", within=15)  # type: ignore[misc]  # a lambda's default
    finally:
        listening.server_close()


def test_endpoints_are_stored_updated_and_deleted(start: Start, receiver: Receiver) -> None:
    server = start(**PRIVATE)
    with client_of(server) as client:
        made = [client.webhooks.create(name=str(n), url=receiver.url, event_types=["batch.failed"]) for n in range(3)]
        assert [entry.id for entry in client.webhooks.list(limit=1)] == [entry.id for entry in reversed(made)]
        hook = made[0]
        assert hook.signing_secret_hint
        assert hook.signing_secret not in str(client.webhooks.retrieve(hook.id).to_dict())
        changed = client.webhooks.update(hook.id, name="other", event_types=["batch.expired"])
        assert (changed.name, changed.url, changed.event_types) == ("other", receiver.url, ["batch.expired"])
        rotated = client.webhooks.rotate_secret(hook.id, keep_old_secret_active_for_24_hours=True)
        assert rotated.signing_secret != hook.signing_secret
        receiver.statuses = [204]
        tested = client.webhooks.test(hook.id, event_type="batch.cancelled")
        assert (tested.status_code, tested.success, tested.webhook_endpoint_id) == (204, True, hook.id)
        headers, body = receiver.taken[-1]
        for secret in (hook.signing_secret, rotated.signing_secret):
            assert client.webhooks.unwrap(body, headers, secret=secret).type == "batch.cancelled"
        assert "batch.completed" in client.webhooks.event_types.list().data
        assert client.webhooks.delete(hook.id).deleted
        with pytest.raises(sdk.NotFoundError, match="No webhook endpoint found"):
            client.webhooks.retrieve(hook.id)


def test_private_addresses_are_refused_unless_the_operator_allows_them(server: Server) -> None:
    with client_of(server) as client:
        for url in ("http://example.com/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "nonsense"):
            with pytest.raises(sdk.BadRequestError) as refused:
                client.webhooks.create(name="n", url=url, event_types=["batch.completed"])
            assert refused.value.param == "url"
        hook = client.webhooks.create(name="n", url="https://localhost/", event_types=["batch.completed"])
        with pytest.raises(sdk.BadRequestError, match="private addresses are not allowed") as unreachable:
            client.webhooks.test(hook.id, event_type="batch.completed")
        assert unreachable.value.code == "webhook_unreachable"
        with pytest.raises(sdk.BadRequestError) as unknown:
            client.webhooks.create(name="n", url="https://example.com/", event_types=["response.completed"])
        assert unknown.value.param == "event_types"
