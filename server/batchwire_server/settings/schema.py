"""The settings: names, types, defaults, descriptions and checks."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
)

from batchwire_server.core.limits import ENDPOINTS, MIB, Limits

TAKEN_HEADERS = ("authorization", "api-key", "x-api-key", "x-request-id", "host", "content-type", "content-length")
"""Headers with a meaning of their own, which cannot be the trusted header."""

DATABASES = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
"""Schemes of database URLs, and the scheme that SQLAlchemy expects for each."""

OBJECT_STORES = ("s3", "gs", "az")
"""Schemes of the URLs of object stores."""

PROXIES = ("http", "https", "socks5", "socks5h")
"""Schemes of the URLs of proxies. With socks5h, the proxy resolves host names."""

PREFIX = "BATCHWIRE_"
"""Prefix of the environment variables."""

ECHO = "echo"
"""Stands for the built-in model where a base URL is expected."""


def check_url(value: str) -> str:
    """Return a base URL. Raises ValueError if it is neither an HTTP URL nor `echo`."""
    if value != ECHO and not value.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is neither {ECHO!r} nor a URL that starts with http:// or https://")
    return value


class Section(BaseModel):
    """A table of the configuration file. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamSettings(Section):
    """An inference server."""

    name: str = Field("", description="Name in logs. Empty: host and port of the URL.")
    base_url: str = Field(
        description="Base URL of its OpenAI API, such as `http://gpu-1:8000/v1`. A URL without a path gets `/v1`."
    )
    api_key_env: str = Field("", description="Environment variable that holds its API key. Empty: it needs none.")
    models: tuple[str, ...] = Field(
        (), description='Models that it serves. `["*"]`: every model. Empty: those that its `GET /models` lists.'
    )
    max_concurrency: int = Field(
        256,
        ge=1,
        description="Upper bound of concurrent requests per model, over all workers. The limit starts low and adapts below it.",
    )
    requests_per_minute: int = Field(
        0, ge=0, description="Requests per minute and model, over all workers. 0: unlimited."
    )
    tokens_per_minute: int = Field(
        0, ge=0, description="Tokens per minute and model, as the `usage` of responses counts them. 0: unlimited."
    )
    timeout: float = Field(600.0, gt=0, description="Timeout of a request, in seconds.")
    proxy: str = Field(
        "",
        description="URL of the proxy for its requests, such as `http://proxy:3128`. Empty: the proxy of the environment, if any.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return check_url(value)

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in PROXIES and parts.hostname):
            raise ValueError(f"a proxy is a URL that starts with {', '.join(f'{scheme}://' for scheme in PROXIES)}")
        return value

    @field_validator("api_key_env")
    @classmethod
    def _names_a_set_variable(cls, value: str) -> str:
        if value and not os.environ.get(value):
            raise ValueError(f"the environment variable {value} is not set")
        return value


class LimitSettings(Section):
    """Limits on requests of callers."""

    max_file_bytes: int = Field(200 * MIB, ge=1, description="Maximum size of a file, in bytes.")
    max_part_bytes: int = Field(64 * MIB, ge=1, description="Maximum size of a part of an upload, in bytes.")
    max_line_bytes: int = Field(16 * MIB, ge=1, description="Maximum size of a line of an input file, in bytes.")
    max_lines: int = Field(50_000, ge=1, description="Maximum number of lines of an input file.")
    min_lines: int = Field(1, ge=1, description="Minimum number of lines of an input file.")
    max_embedding_inputs: int = Field(
        50_000, ge=1, description="Maximum number of inputs of a batch for `/v1/embeddings`, over all its lines."
    )
    batches_per_hour: int = Field(0, ge=0, description="Batches that a tenant may create per hour. 0: unlimited.")
    endpoints: tuple[str, ...] = Field(ENDPOINTS, description="Endpoints that batches may use.")
    require_jsonl_name: bool = Field(
        True, description="Require names of input files to end in `.jsonl`, as OpenAI does."
    )
    mixed_models: bool = Field(True, description="Allow lines of a batch to name different models.")
    batch_file_lifetime: int = Field(
        30 * 86400,
        ge=1,
        description="Seconds for which input, output and error files are kept, unless the caller sets an expiry.",
    )
    upload_lifetime: int = Field(
        3600, ge=1, description="Seconds for which an upload accepts parts after its creation."
    )
    result_lifetime: int = Field(
        3600, ge=0, description="Seconds after the end of a batch in which its results can be streamed."
    )
    batch_lifetime: int = Field(
        0, ge=0, description="Seconds for which an ended batch and its idempotency key are kept. 0: for ever."
    )
    private_webhooks: bool = Field(False, description="Allow webhooks to private addresses and over plain HTTP.")

    @property
    def enforced(self) -> Limits:
        """The limits that the core enforces. Each has the name of its setting."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})


class WorkSettings(Section):
    """How workers run tasks. Times are in seconds."""

    lease_ttl: float = Field(15.0, gt=0, description="Seconds for which a lease is valid after its last renewal.")
    heartbeat: float = Field(
        5.0, gt=0, description="Seconds between two renewals of a lease. At most half of `lease_ttl`."
    )
    flush_interval: float = Field(1.0, gt=0, description="Seconds between two writes of finished lines.")
    cancel_grace: float = Field(
        600.0,
        ge=0,
        description="Grace period in seconds for requests in flight after their batch is cancelled.",
    )
    drain_grace: float = Field(20.0, ge=0, description="Grace period in seconds for requests in flight after SIGTERM.")
    delivery_timeout: float = Field(15.0, gt=0, description="Timeout of a webhook delivery, in seconds.")
    sweep_interval: float = Field(
        60.0, gt=0, description="Seconds between two sweeps, which delete what is no longer needed."
    )
    orphan_interval: float = Field(
        3600.0,
        ge=0,
        description="Seconds between two searches for orphans: blobs that no row refers to. 0: never search.",
    )
    orphan_age: float = Field(
        86400.0,
        gt=0,
        description="Age in seconds from which an orphan is deleted. Must exceed the longest upload and the longest database outage.",
    )
    max_attempts: int = Field(
        5,
        ge=1,
        description="Attempts per line. Requests that the upstream refuses with 429, or never receives, do not count.",
    )
    retry_base: float = Field(
        0.5,
        gt=0,
        description="Maximum backoff before a line's first retry, in seconds. It doubles with each retry; jitter shortens it by up to half.",
    )
    retry_cap: float = Field(
        60.0, gt=0, description="Maximum backoff before a retry, in seconds. A Retry-After may exceed it, up to 300."
    )

    @model_validator(mode="after")
    def _renews_before_expiry(self) -> Self:
        if self.heartbeat * 2 > self.lease_ttl:
            raise ValueError("lease_ttl must be at least twice the heartbeat")
        return self


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path(".batchwire"),
        description="Directory of the SQLite database and of the blobs, unless `database` or `blobs` is set.",
    )
    database: str = Field(
        "",
        description="`postgresql://USER:PASSWORD@HOST/NAME` or `sqlite:///PATH`. Empty: SQLite in the data directory.",
    )
    blobs: str = Field(
        "",
        description="Directory of the blobs, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`. Empty: `blobs` in the data directory.",
    )
    grpc_listen: str = Field(
        "127.0.0.1:50051", description="HOST:PORT on which the gRPC server listens. Port 0: any free port."
    )
    http_listen: str = Field(
        "127.0.0.1:8080", description="HOST:PORT on which the REST gateway listens. Port 0: any free port."
    )
    api: str = Field("127.0.0.1:50051", description="HOST:PORT of the gRPC server that a separate gateway connects to.")
    auth: Literal["auto", "open"] = Field(
        "auto",
        description="`open`: requests without a key are accepted until the first key is created. "
        "`auto`: the same if only this machine can reach the server; otherwise keys are always required.",
    )
    trusted_header: str = Field(
        "",
        description="Request header in which an authenticating proxy names the tenant. Empty: none.",
    )
    trusted_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks whose `trusted_header` is trusted, such as `10.0.0.5/32`."
    )
    workers: int = Field(1, ge=0, description="Number of worker processes of `serve`.")
    upstream: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Base URLs of inference servers: a short form of `upstreams`. `echo`: the built-in model."
    )
    upstreams: tuple[UpstreamSettings, ...] = Field(
        (),
        description="Inference servers. `api` and `worker` need the same ones. `serve` uses `echo` if there is none.",
    )
    limits: LimitSettings = LimitSettings()
    work: WorkSettings = WorkSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level of log messages.")

    @field_validator("database")
    @classmethod
    def _has_known_scheme(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if value and scheme not in DATABASES:
            raise ValueError("the URL must start with sqlite:/// or postgresql://")
        return f"{DATABASES[scheme]}{separator}{rest}" if value else value

    @field_validator("blobs")
    @classmethod
    def _is_directory_or_object_store(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if separator and (scheme not in OBJECT_STORES or rest[:1] in {"", "/", "?"}):
            raise ValueError("must be a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX")
        return value

    @field_validator("trusted_header")
    @classmethod
    def _is_free_header_name(cls, value: str) -> str:
        name = value.lower()
        if name and (
            not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)
            or name in TAKEN_HEADERS
            or name.startswith(("grpc-", "batchwire-"))
        ):
            raise ValueError(
                f"{value!r} is not a valid header name, or has another meaning; choose a name such as x-tenant"
            )
        return name

    @field_validator("trusted_peers")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)

    @model_validator(mode="after")
    def _has_header_and_peers(self) -> Self:
        if bool(self.trusted_header) != bool(self.trusted_peers):
            raise ValueError("trusted_header and trusted_peers must be set together")
        return self

    @field_validator("upstream", "trusted_peers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value

    @field_validator("upstream")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_url(url) for url in urls)

    @property
    def database_url(self) -> str:
        """The database URL in SQLAlchemy's form."""
        return self.database or f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'batchwire.db'}"

    @property
    def blob_url(self) -> str:
        """The URL of the object store, or an empty string if the blobs are in a directory."""
        return self.blobs if "://" in self.blobs else ""

    @property
    def blob_dir(self) -> Path:
        """The directory of the blobs."""
        return Path(self.blobs) if self.blobs else self.data_dir / "blobs"

    @property
    def all_upstreams(self) -> tuple[UpstreamSettings, ...]:
        """The inference servers of `upstreams` and of `upstream`."""
        return (*self.upstreams, *(UpstreamSettings(base_url=url) for url in self.upstream))
