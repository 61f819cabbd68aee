"""Environment variables that libraries read: what is added, removed and reported."""

from __future__ import annotations

import pytest
from batchwire_server.settings import ignored_with_warning, prepare_environment, proxy_variable

LOCAL = "localhost,127.0.0.0/8,::1,169.254.0.0/16"


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ({}, LOCAL),
        ({"no_proxy": "a"}, f"a,{LOCAL}"),
        ({"NO_PROXY": "a, b", "no_proxy": "b,c,"}, f"a,b,c,{LOCAL}"),
        ({"NO_PROXY": "*"}, f"*,{LOCAL}"),
        ({"NO_PROXY": LOCAL, "no_proxy": LOCAL}, LOCAL),
    ],
)
def test_both_spellings_of_no_proxy_are_joined_with_local_addresses(given: dict[str, str], joined: str) -> None:
    environment = dict(given)
    prepare_environment(environment)
    assert (environment["NO_PROXY"], environment["no_proxy"]) == (joined, joined)


def test_variables_that_end_the_process_are_removed() -> None:
    environment = {"GRPC_POLL_STRATEGY": "nonsense", "PROMETHEUS_MULTIPROC_DIR": "/nonexistent", "GRPC_TRACE": "http"}
    prepare_environment(environment)
    assert not environment.keys() & {"GRPC_POLL_STRATEGY", "PROMETHEUS_MULTIPROC_DIR"}
    assert environment["GRPC_TRACE"] == "http"


@pytest.mark.parametrize(("given", "value"), [({}, "0"), ({"GRPC_ENABLE_FORK_SUPPORT": "1"}, "1")])
def test_fork_support_of_grpc_is_off_by_default(given: dict[str, str], value: str) -> None:
    environment = dict(given)
    prepare_environment(environment)
    assert environment["GRPC_ENABLE_FORK_SUPPORT"] == value


def test_variables_without_effect_are_reported() -> None:
    bundle = {"REQUESTS_CA_BUNDLE": "/ca.pem"}
    assert set(ignored_with_warning({**bundle, "grpc_proxy": "http://p"})) == {"REQUESTS_CA_BUNDLE", "grpc_proxy"}
    assert ignored_with_warning({**bundle, "SSL_CERT_FILE": "/ca.pem"}) == {}
    assert ignored_with_warning({"grpc_proxy": "", "http_proxy": "http://p"}) == {}


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("http://gpu-1:8000/v1", "HTTP_PROXY"),
        ("https://gpu-1/v1", "all_proxy"),
        ("http://localhost:8000", None),
        ("http://gpu.localhost:8000", None),
        ("http://127.5.5.5", None),
        ("http://[::1]:8000", None),
        ("http://10.0.0.1", "HTTP_PROXY"),
    ],
)
def test_the_proxy_of_an_upstream_is_that_of_its_scheme_and_none_for_this_machine(
    url: str, variable: str | None
) -> None:
    assert proxy_variable(url, {"HTTP_PROXY": "http://p", "all_proxy": "http://q"}) == variable
    assert proxy_variable(url, {}) is None
