from __future__ import annotations

import pytest
from batchwire_client._settings import resolve


def test_settings_come_from_arguments_then_the_environment_then_defaults() -> None:
    environment = {"BATCHWIRE_TARGET": "there:1", "BATCHWIRE_API_KEY": "sk-env\n"}
    assert resolve(environment={}).target == "127.0.0.1:50051"
    assert resolve(environment={}).metadata == ()
    assert resolve(environment=environment).target == "there:1"
    assert resolve(environment=environment).metadata == (("authorization", "Bearer sk-env"),)
    assert resolve("here:2", api_key="sk", environment=environment).target == "here:2"
    assert resolve(api_key="sk", environment=environment).metadata == (("authorization", "Bearer sk"),)


def test_the_representation_hides_the_api_key() -> None:
    assert "sk-secret" not in repr(resolve(api_key="sk-secret", environment={}))


@pytest.mark.parametrize(
    ("target", "secure", "address", "tls"),
    [
        ("host:50051", None, "host:50051", False),
        ("host:443", None, "host:443", True),
        ("host:443", False, "host:443", False),
        ("https://host", None, "host:443", True),
        ("grpcs://host:7", None, "host:7", True),
        ("http://host", None, "host:80", False),
        ("http://host:443", None, "host:443", False),
        ("https://host", False, "host:443", False),
        ("dns:///host:7", None, "dns:///host:7", False),
        ("unix:///run/batchwire", None, "unix:///run/batchwire", False),
    ],
)
def test_target_and_secure_decide_address_and_tls(target: str, *, secure: bool | None, address: str, tls: bool) -> None:
    settings = resolve(target, secure=secure, environment={})
    assert (settings.target, settings.secure) == (address, tls)


def test_root_certificates_turn_tls_on() -> None:
    assert resolve("host:1", root_certificates=b"pem", environment={}).secure
