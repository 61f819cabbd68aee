"""Configuration: the only reader of the environment and of the configuration file.

The command line beats the environment (`BATCHWIRE_…`), which beats the file (TOML), which beats the defaults here. Nested settings are
`BATCHWIRE_LIMITS__MAX_LINES` in the environment and `[limits]` in the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from batchwire_server.core.limits import ENDPOINTS, MIB

TAKEN_HEADERS = ("authorization", "api-key", "x-api-key", "x-request-id", "host", "content-type", "content-length")

DATABASES = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
"""Schemes of database URLs, and what SQLAlchemy calls them."""

OBJECT_STORES = ("s3", "gs", "az")
"""Schemes of object stores' URLs."""

PREFIX = "BATCHWIRE_"
"""What the names of environment variables begin with."""

_CLIENTS = {f"{PREFIX}TARGET", f"{PREFIX}API_KEY"}
"""Variables that are the client's."""

_NEAR = 0.92
"""How alike, of 1, a misspelt name is to the one that is meant."""

ECHO = "echo"
"""In the place of a base URL, the built-in model."""


def check_url(value: str) -> str:
    """Returns a base URL. Raises ValueError for what cannot be one."""
    if value != ECHO and not value.startswith(("http://", "https://")):
        raise ValueError(f"{value!r} is neither a URL that starts with http:// or https://, nor {ECHO!r}")
    return value


class Section(BaseModel):
    """A table of the file; an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UpstreamSettings(Section):
    """An inference server."""

    name: str = Field("", description="What to call it; its host and port when empty.")
    base_url: str = Field(description="Such as `http://gpu-1:8000/v1`; a URL without a path gets `/v1`.")
    api_key_env: str = Field("", description="Environment variable that holds its key.")
    models: tuple[str, ...] = Field(
        (), description='Names of its models; `["*"]` for any name at all; empty: it is asked (`GET /models`).'
    )
    max_concurrency: int = Field(
        256,
        ge=1,
        description="Most calls in flight per model, over all workers; the number starts low and grows while the upstream answers well.",
    )
    requests_per_minute: int = Field(
        0, ge=0, description="Most calls per minute and model, over all workers; 0: any number."
    )
    tokens_per_minute: int = Field(
        0, ge=0, description="Most tokens per minute and model, by what answers say they used; 0: any number."
    )
    timeout: float = Field(600.0, gt=0, description="Seconds for a whole call.")

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return check_url(value)

    @field_validator("api_key_env")
    @classmethod
    def _is_set(cls, value: str) -> str:
        if value and not os.environ.get(value):
            raise ValueError(f"the environment variable {value} is not set")
        return value


class LimitSettings(Section):
    """What callers may ask for."""

    max_file_bytes: int = Field(200 * MIB, ge=1, description="Bytes of a file.")
    max_part_bytes: int = Field(64 * MIB, ge=1, description="Bytes of one part of an upload.")
    max_line_bytes: int = Field(16 * MIB, ge=1, description="Bytes of one line of a batch's input.")
    max_lines: int = Field(50_000, ge=1, description="Lines of a batch's input.")
    min_lines: int = Field(1, ge=1, description="Fewest lines of a batch's input.")
    max_embedding_inputs: int = Field(
        50_000, ge=1, description="Inputs of a batch for `/v1/embeddings`, over all its lines."
    )
    batches_per_hour: int = Field(
        0, ge=0, description="Batches that a tenant may create within an hour; 0: any number."
    )
    endpoints: tuple[str, ...] = Field(ENDPOINTS, description="What a batch may call.")
    require_jsonl_name: bool = Field(
        True, description="Whether a batch's input must be named `*.jsonl`, as OpenAI wants it."
    )
    mixed_models: bool = Field(True, description="Whether the lines of a batch may name several models.")
    batch_file_lifetime: int = Field(30 * 86400, ge=1, description="Seconds that a batch's files are kept by default.")
    upload_lifetime: int = Field(3600, ge=1, description="Seconds that an upload takes parts.")
    result_lifetime: int = Field(
        3600, ge=0, description="Seconds after its end that a batch's results can be streamed."
    )
    batch_lifetime: int = Field(
        0, ge=0, description="Seconds after its end that a batch, and its idempotency key, are known; 0: for ever."
    )
    private_webhooks: bool = Field(
        False, description="Whether webhooks may go to private addresses, and over plain http."
    )


class WorkSettings(Section):
    """How workers go about it. Times in seconds."""

    lease_ttl: float = Field(15.0, gt=0, description="How long a lease lasts.")
    heartbeat: float = Field(5.0, gt=0, description="Time between its renewals.")
    flush_interval: float = Field(1.0, gt=0, description="Time between writes of finished lines.")
    cancel_grace: float = Field(600.0, ge=0, description="How long calls in flight may go on after a cancel.")
    drain_grace: float = Field(20.0, ge=0, description="How long calls in flight may go on after SIGTERM.")
    delivery_timeout: float = Field(15.0, gt=0, description="How long a webhook's receiver may take to answer.")
    sweep_interval: float = Field(60.0, gt=0, description="Time between sweeps.")
    orphan_interval: float = Field(
        3600.0, ge=0, description="Time between looks for stored bytes that nothing refers to; 0: they stay."
    )
    orphan_age: float = Field(
        86400.0,
        gt=0,
        description="How long such bytes are left alone: more than the longest upload, or outage of the database, takes.",
    )
    max_attempts: int = Field(5, ge=1, description="Calls of a line that an upstream takes and fails.")
    retry_base: float = Field(0.5, gt=0, description="The first delay before a line is called again.")
    retry_cap: float = Field(60.0, gt=0, description="The longest such delay.")

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if self.heartbeat * 2 > self.lease_ttl:
            raise ValueError("lease_ttl must be at least twice the heartbeat")
        return self


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(Path(".batchwire"), description="Where SQLite and the blobs are, unless said otherwise.")
    database: str = Field(
        "",
        description="`postgresql://USER:PASSWORD@HOST/NAME` or `sqlite:///PATH`; empty: SQLite under the data directory.",
    )
    blobs: str = Field(
        "",
        description="Directory of the blobs, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`; empty: under the data directory.",
    )
    grpc_listen: str = Field("127.0.0.1:50051", description="HOST:PORT of the gRPC face; port 0: any.")
    http_listen: str = Field("127.0.0.1:8080", description="HOST:PORT of the REST face; port 0: any.")
    api: str = Field("127.0.0.1:50051", description="HOST:PORT of the api that a gateway of its own speaks to.")
    auth: Literal["auto", "open"] = Field(
        "auto",
        description="`auto`: callers need a key once there is one, and always where others than this machine can reach the server; "
        "`open`: no key is needed as long as there never was one.",
    )
    trusted_header: str = Field(
        "",
        description="Header that says for whom a call acts, set by something in front that authenticates callers; empty: none.",
    )
    trusted_peers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks of those who are believed when they send it, such as `10.0.0.5/32`."
    )
    workers: int = Field(1, ge=0, description="Worker processes of `serve`.")
    upstream: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Base URLs of inference servers: a short form of `upstreams`. `echo` names the built-in model."
    )
    upstreams: tuple[UpstreamSettings, ...] = Field(
        (),
        description="Inference servers. All roles of an installation need the same; `serve` alone takes `echo` when there is none.",
    )
    limits: LimitSettings = LimitSettings()
    work: WorkSettings = WorkSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")

    @field_validator("database")
    @classmethod
    def _is_known(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if value and scheme not in DATABASES:
            raise ValueError("a URL that starts with sqlite:/// or postgresql:// is wanted")
        return f"{DATABASES[scheme]}{separator}{rest}" if value else value

    @field_validator("blobs")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if separator and (scheme not in OBJECT_STORES or rest[:1] in {"", "/", "?"}):
            raise ValueError("a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX is wanted")
        return value

    @field_validator("trusted_header")
    @classmethod
    def _is_free(cls, value: str) -> str:
        name = value.lower()
        if name and (
            not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name)
            or name in TAKEN_HEADERS
            or name.startswith(("grpc-", "batchwire-"))
        ):
            raise ValueError(f"{value!r} cannot be the name of a header for this")
        return name

    @field_validator("trusted_peers")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)

    @model_validator(mode="after")
    def _trusts_whole(self) -> Self:
        if bool(self.trusted_header) != bool(self.trusted_peers):
            raise ValueError("trusted_header and trusted_peers go together")
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
        """The SQLAlchemy URL."""
        return self.database or f"sqlite+aiosqlite:///{self.data_dir.resolve() / 'batchwire.db'}"

    @property
    def blob_url(self) -> str:
        """The URL of the object store that has the blobs; empty: they are in a directory."""
        return self.blobs if "://" in self.blobs else ""

    @property
    def blob_dir(self) -> Path:
        """The directory of the blobs."""
        return Path(self.blobs) if self.blobs else self.data_dir / "blobs"

    @property
    def all_upstreams(self) -> tuple[UpstreamSettings, ...]:
        """The inference servers, however they were named."""
        return (*self.upstreams, *(UpstreamSettings(base_url=url) for url in self.upstream))


def load(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Reads the configuration. Raises pydantic.ValidationError, OSError and tomllib.TOMLDecodeError for a bad one.

    Args:
        config: the TOML file; `BATCHWIRE_CONFIG` names one otherwise.
        overrides: what the command line says.
    """
    path = config or (Path(found) if (found := os.environ.get("BATCHWIRE_CONFIG")) else None)
    in_file = tomllib.loads(path.read_text()) if path else {}

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, in_file)

    return Settings.model_construct(**dict(Loaded(**(overrides or {}))))


def secret(variable: str) -> str | None:
    """Returns the value of an environment variable that a setting names."""
    return os.environ.get(variable) if variable else None


def _shown(value: object) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, tuple) else _without_secrets(str(value))


def _without_secrets(text: str) -> str:
    """Returns a URL without its user and the values of its options, either of which may be a secret; other text as it is."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    if not scheme.startswith("sqlite"):  # which has a path alone
        rest = re.sub(r".*@", "***@", rest, flags=re.DOTALL)
    place, mark, options = rest.partition("?")
    return scheme + separator + place + mark + re.sub(r"=[^&]*", "=***", options)


def documentation(model: type[BaseModel] = Settings, prefix: str = "") -> list[tuple[str, str, str]]:
    """Returns name, default and description of every setting; those of a table follow it as `table.name`."""
    rows: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        default = field.get_default()
        if isinstance(default, Section):
            rows += documentation(type(default), f"{prefix}{name}.")
            continue
        shown = "" if field.is_required() or default in ("", ()) else _shown(default)
        rows.append((f"{prefix}{name}", shown, field.description or ""))
        if name == "upstreams":
            rows += documentation(UpstreamSettings, "upstreams[].")
    return rows


def effective(settings: BaseModel, prefix: str = "") -> dict[str, str]:
    """Returns all values by the names of `reference`, secrets left out. Of upstreams it has the number, and the values of all beside each other."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Section):
            values |= effective(value, f"{prefix}{name}.")
        elif name == "upstreams":
            each = [effective(upstream, "upstreams[].") for upstream in value]
            values[name] = str(len(each))
            values |= {key: " | ".join(upstream[key] for upstream in each) for key in (each[0] if each else ())}
        else:
            values[prefix + name] = _shown(value)
    return values


def unknown_variables(environment: Iterable[str]) -> dict[str, str]:
    """Returns the environment's variables that are no settings but nearly so, each with the setting that may be meant.

    Others that begin alike are nobody's mistake: an orchestrator may make some, and an upstream's key may be in one.
    """
    names = [name for name, _, _ in documentation() if not name.startswith("upstreams[]")]
    sections = {name.partition(".")[0] for name in names}
    known = [f"{PREFIX}{name.replace('.', '__').upper()}" for name in (*names, *sections, "config")]
    unknown = {name for name in environment if name.upper().startswith(PREFIX)} - {*known, *_CLIENTS}
    near = {name: get_close_matches(name.upper(), known, 1, _NEAR) for name in sorted(unknown)}
    return {name: found[0] for name, found in near.items() if found and found[0] != name.upper()}
