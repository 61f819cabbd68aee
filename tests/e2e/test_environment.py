"""Environment variables that libraries read, each with a value that breaks what obeys it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from batchwire_client import Backoff, Client, RetryPolicy, ServerUnavailable
from batchwire_server.adapters.upstreams.openai_http import HttpUpstream
from batchwire_server.adapters.webhooks import HttpWebhooks
from batchwire_server.core.results import NoReply, Reply

from bench.upstream import MODEL, MockUpstream
from tests.support.invariants import ENDS
from tests.support.lines import chat_file
from tests.support.object_store import running_object_store
from tests.support.postgresql import running_postgresql
from tests.support.proxy import RefusingProxy, refusing_proxy
from tests.support.roles import role
from tests.support.server import Server, free_port, wait_until

ROOT = Path(__file__).parents[2]
LINES = 20
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy")
EXEMPTIONS = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
POSTGRESQL = {
    "PGHOST": "postgresql.invalid",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "nothing",
    "PGPASSFILE": "/nonexistent",
    "PGSERVICE": "nothing",
    "PGOPTIONS": "--no-such-option",
    "PGAPPNAME": "another",
    "PGCONNECT_TIMEOUT": "never",
}
OTHERS = {
    "GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES": "0.0.0.0/0,::/0",
    "SSL_CERT_FILE": "/nonexistent",
    "REQUESTS_CA_BUNDLE": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/nonexistent",
    "GRPC_VERBOSITY": "nonsense",
    "GRPC_TRACE": "nonsense",
    "GRPC_EXPERIMENTS": "nonsense",
    "GRPC_DNS_RESOLVER": "nonsense",
    "GRPC_SSL_CIPHER_SUITES": "nonsense",
    "GRPC_ENABLE_FORK_SUPPORT": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "WEB_CONCURRENCY": "many",
    "FORWARDED_ALLOW_IPS": "*",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nonexistent",
    "PGTARGETSESSIONATTRS": "nonsense",
    "AWS_ACCESS_KEY_ID": "wrong",
    "AWS_ENDPOINT_URL": "http://s3.invalid",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent",
    "AZURE_STORAGE_ACCOUNT_NAME": "wrong",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
}
NOTHING_TRUSTED = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}
SERVER_ALONE = {"GRPC_POLL_STRATEGY": "nonsense"}
"""With this one, a process of the client ends, as the documentation says."""

CLIENT = """
import asyncio, sys
from batchwire_client import AsyncClient, Client, status_word

with Client(sys.argv[1]) as client:
    file = client.files.upload(sys.stdin.buffer.read(), filename="in.jsonl")
    print(status_word(client.batches.wait(client.batches.create(file.id).id, timeout=60)))

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        print(len(await client.models.list()))

asyncio.run(main())
"""


@pytest.fixture
def proxy() -> Iterator[RefusingProxy]:
    with refusing_proxy() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_inherited_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *EXEMPTIONS):
        monkeypatch.delenv(name, raising=False)


def hostile(proxy: RefusingProxy) -> dict[str, str]:
    """Return all variables of the client and the server, with hostile values."""
    address = proxy.url.removeprefix("http://")
    return {
        **dict.fromkeys(PROXIES, proxy.url),
        **dict.fromkeys(EXEMPTIONS, "elsewhere.invalid"),
        "GRPC_ADDRESS_HTTP_PROXY": address,
        "OTEL_EXPORTER_OTLP_ENDPOINT": proxy.url,
        **POSTGRESQL,
        **OTHERS,
    }


def proxy_url(upstream: MockUpstream, user: str = "") -> str:
    """Return the URL of an upstream as a proxy: it answers whatever host a request names."""
    return f"http://{user}127.0.0.1:{upstream.port}"


def run_over_rest(server: Server, model: str) -> str:
    """Run a small batch over REST. Return its status."""
    with requests.Session() as session:
        session.trust_env = False  # the variables are the server's
        sent = {"file": ("in.jsonl", chat_file(LINES, model))}
        file = session.post(f"{server.url}/v1/files", files=sent, data={"purpose": "batch"}, timeout=30)
        assert file.status_code == 200, file.text
        body = {
            "input_file_id": file.json()["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        batch = session.post(f"{server.url}/v1/batches", json=body, timeout=30).json()

        def status() -> str:
            return str(session.get(f"{server.url}/v1/batches/{batch['id']}", timeout=30).json()["status"])

        wait_until(lambda: status() in ENDS)
        return status()


def run_over_grpc(server: Server, model: str, environment: dict[str, str]) -> list[str]:
    """Run a small batch with the Python client in a process of its own.

    Return the status of the batch, and the number of models.
    """
    result = subprocess.run(
        [sys.executable, "-c", CLIENT, server.grpc],
        input=chat_file(LINES, model),
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().split()


def test_every_variable_of_the_documentation_is_tested(proxy: RefusingProxy) -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    section = page.split("\n## Environment variables of libraries\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {
        *hostile(proxy),
        *SERVER_ALONE,
        *NOTHING_TRUSTED,
    }


def test_server_and_client_work_with_hostile_variables(
    tmp_path: Path, proxy: RefusingProxy, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    upstream = upstream_of(MockUpstream())
    environment = hostile(proxy)
    with Server(tmp_path, "--upstream", upstream.base_url, environment={**environment, **SERVER_ALONE}) as server:
        assert run_over_rest(server, MODEL) == "completed"
        assert run_over_grpc(server, MODEL, environment) == ["completed", "1"]
    assert len(upstream.calls) == 2 * LINES
    assert proxy.requests == []
    log = server.log.read_text()
    assert "ignoring the environment variable grpc_proxy" in log
    assert "ignoring the environment variable REQUESTS_CA_BUNDLE" not in log, "SSL_CERT_FILE is set"
    assert "Traceback" not in log


def test_upstreams_take_a_proxy_of_the_environment_or_their_own_and_the_stores_take_none(
    tmp_path: Path, upstream_of: Callable[[MockUpstream], MockUpstream]
) -> None:
    inherited, own = upstream_of(MockUpstream()), upstream_of(MockUpstream(models=("other",)))
    upstreams = [
        {"base_url": "http://gpu.invalid:8000"},
        {"name": "near", "base_url": f"http://127.0.0.1:{free_port()}", "proxy": proxy_url(own, "user:password@")},
    ]
    with running_postgresql() as database, running_object_store() as store:
        address = f"{database}&port=5432"  # or PGPORT would count
        environment = {
            **POSTGRESQL,
            **store.environment,
            "HTTP_PROXY": proxy_url(inherited),
            "BATCHWIRE_UPSTREAMS": json.dumps(upstreams),
        }
        places = ("--database", address, "--blobs", store.url("e"))
        with Server(tmp_path, *places, environment=environment) as server:
            assert run_over_rest(server, MODEL) == "completed"
            assert run_over_rest(server, "other") == "completed"
    assert (len(inherited.calls), len(own.calls)) == (LINES, LINES)
    log = server.log.read_text()
    assert "upstream gpu.invalid:8000 is called through the proxy of HTTP_PROXY" in log
    assert f"upstream near is called through the proxy 127.0.0.1:{own.port}" in log
    assert "password" not in log


def test_the_gateway_says_that_the_api_cannot_be_reached(proxy: RefusingProxy) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = {**os.environ, **dict.fromkeys(PROXIES, proxy.url)}
    with (
        role("gateway", "--api", address, "--http-listen", "127.0.0.1:0", environment=environment) as gateway,
        requests.Session() as session,
    ):
        session.trust_env = False
        answer = session.get(f"http://{gateway['http']}/v1/models", timeout=30)
    assert answer.status_code == 503
    assert answer.json()["error"]["message"].startswith("The api cannot be reached")
    assert address not in answer.text
    assert proxy.requests == []


def test_a_server_without_trusted_certificates_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "batchwire_server", "serve", "--data-dir", str(tmp_path)]
    result = subprocess.run(
        [*command, "--upstream", "https://gpu.invalid"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **NOTHING_TRUSTED},
    )
    assert result.returncode == 1
    assert "check its proxy, SSL_CERT_FILE and SSL_CERT_DIR" in result.stderr
    assert "Traceback" not in result.stderr


def self_signed(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return a new certificate for localhost, and the context of a server that has it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    options = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-addext", "basicConstraints=critical,CA:FALSE"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *options, *names, *files], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed on this machine")
async def test_upstreams_are_trusted_by_ssl_cert_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = self_signed(tmp_path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    results = []
    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        for trusted in (False, True):
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            upstream = HttpUpstream("gpu", url, None, timeout=20.0)
            results.append(await upstream.call("/v1/chat/completions", b""))
            await upstream.close()
    assert [type(result) for result in results] == [NoReply, Reply]


async def test_webhooks_take_no_proxy(proxy: RefusingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, proxy.url)
    with refusing_proxy() as receiver:
        assert await HttpWebhooks(10.0, private=True).post(f"{receiver.url}/hook", {}, b"{}") == 502
    assert receiver.requests == ["POST /hook HTTP/1.1"]
    assert proxy.requests == []


def test_the_client_takes_a_proxy_only_as_an_argument(proxy: RefusingProxy) -> None:
    once = RetryPolicy(calls=Backoff(tries=1))
    with (
        Client("127.0.0.1:9", proxy=proxy.url, retry_policy=once) as client,
        pytest.raises(ServerUnavailable, match="HTTP proxy returned response code 502"),
    ):
        client.models.list()
    assert proxy.requests == ["CONNECT 127.0.0.1:9 HTTP/1.1"]


@pytest.mark.parametrize("proxy_url", ["https://proxy:3128", "proxy:3128", ""])
def test_the_client_refuses_a_proxy_that_grpc_would_pass_by(proxy_url: str) -> None:
    with pytest.raises(ValueError, match="starts with http://"):
        Client(proxy=proxy_url)
