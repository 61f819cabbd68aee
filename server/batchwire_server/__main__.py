"""The `batchwire-server` command."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from batchwire_server.core.errors import OutOfReachError
from batchwire_server.roles import process
from batchwire_server.roles.errors import StartError
from batchwire_server.service.api_keys import DEFAULT_TENANT
from batchwire_server.settings import (
    ECHO,
    Settings,
    documentation,
    effective,
    ignored_with_warning,
    load,
    prepare_environment,
    unknown_variables,
)

_OPTIONS = {
    "data_dir": click.option(
        "--data-dir", type=click.Path(path_type=Path), help="Directory of the SQLite database and of the blobs."
    ),
    "database": click.option(
        "--database", metavar="URL", help="URL of the database: postgresql://… or sqlite:///PATH."
    ),
    "blobs": click.option("--blobs", metavar="PLACE", help="Directory of the blobs, or URL of an object store."),
    "grpc_listen": click.option(
        "--grpc-listen", metavar="HOST:PORT", help="Address of the gRPC server. Port 0: any free port."
    ),
    "http_listen": click.option(
        "--http-listen", metavar="HOST:PORT", help="Address of the REST gateway. Port 0: any free port."
    ),
    "api": click.option("--api", metavar="HOST:PORT", help="Address of the gRPC server to connect to."),
    "upstream": click.option(
        "--upstream", metavar="URL", multiple=True, help="Base URL of an inference server. May be given several times."
    ),
    "auth": click.option(
        "--auth",
        type=click.Choice(["auto", "open"]),
        help="open: accept requests without a key until the first key is created. "
        "auto: the same if only this machine can reach the server; otherwise always require a key.",
    ),
    "workers": click.option("--workers", type=int, help="Number of worker processes."),
}
_STORES = ("data_dir", "database", "blobs")
_MIGRATE = click.option(
    "--migrate", is_flag=True, help="First apply missing migrations, as the command `migrate` does."
)
_UNREADABLE = 3
"""Exit status of `migrate --check` if the database cannot be read."""


def _options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the named options, and `--config`, to a command."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        config = click.option(
            "--config",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="TOML file with settings.",
        )
        return config(command)

    return decorate


def _load(config: Path | None, options: dict[str, Any]) -> Settings:
    """Read the settings. Raises click.UsageError if they are invalid."""
    for name, near in unknown_variables(os.environ).items():
        click.echo(f"Warning: ignoring the environment variable {name}. Did you mean {near}?", err=True)
    for name, advice in ignored_with_warning(os.environ).items():
        click.echo(f"Warning: ignoring the environment variable {name}: {advice}.", err=True)
    overrides = {name: value for name, value in options.items() if value is not None and value != ()}
    try:
        return load(config, overrides)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise click.UsageError("invalid configuration\n  " + "\n  ".join(lines)) from error
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(
            f"cannot read the configuration file {config or os.environ.get('BATCHWIRE_CONFIG')}: {error}"
        ) from error


def _with_upstreams(settings: Settings) -> Settings:
    """Return the settings.

    Raises click.UsageError if they have no upstream, since the role would know no model.
    """
    if not settings.all_upstreams:
        raise click.UsageError(
            "a role that runs separately needs the same upstreams as the others: "
            "give --upstream URL, or --upstream echo for the built-in model"
        )
    return settings


def _run(module: str, settings: Settings, *args: Any, function: str = "run", **options: Any) -> Any:
    """Import a module of `roles`, and run its function to the end.

    The import happens here, when the role is known, so that a worker does not load gRPC and HTTP
    servers, nor a gateway SQL.
    """
    main = getattr(import_module(f"batchwire_server.roles.{module}"), function)
    try:
        return process.run(main(settings, *args, **options), settings.log_level)
    except (StartError, OutOfReachError, OSError) as error:
        raise click.ClickException(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchwire-server")
def main() -> None:
    """Batchwire: an OpenAI-compatible Batch API in front of your own inference servers."""
    prepare_environment(os.environ)


@main.command()
@_options(*_STORES, "grpc_listen", "http_listen", "upstream", "workers", "auth")
def serve(config: Path | None, **options: Any) -> None:
    """Run all roles on this machine. Without an upstream, the built-in model `echo` answers."""
    settings = _load(config, options)
    if not settings.all_upstreams:
        settings = settings.model_copy(update={"upstream": (ECHO,)})
    _run("serve", settings)


@main.command()
@_options(*_STORES, "grpc_listen", "upstream", "auth")
@_MIGRATE
def api(config: Path | None, *, migrate: bool, **options: Any) -> None:
    """Run the gRPC server."""
    _run("api", _with_upstreams(_load(config, options)), migrate=migrate)


@main.command()
@_options("http_listen", "api")
def gateway(config: Path | None, **options: Any) -> None:
    """Run the REST gateway in front of a gRPC server."""
    _run("gateway", _load(config, options))


@main.command()
@_options(*_STORES, "upstream")
@_MIGRATE
@click.option(
    "--name", help="Prefix of the worker's lease holder name; a random suffix follows. Default: the host name."
)
@click.option(
    "--settings-from-stdin", is_flag=True, hidden=True, help="Read all settings as JSON from the standard input."
)
@click.option("--isolated", is_flag=True, hidden=True, help="Run only quarantined shards, then end.")
def worker(
    config: Path | None, name: str | None, *, migrate: bool, settings_from_stdin: bool, isolated: bool, **options: Any
) -> None:
    """Run a worker."""
    if settings_from_stdin:
        with os.fdopen(os.dup(0), "rb", buffering=0) as stdin:
            settings = Settings.model_validate_json(stdin.readline())
    else:
        settings = _with_upstreams(_load(config, options))
    _run("worker", settings, name, migrate=migrate, until_stdin_ends=settings_from_stdin, isolated=isolated)


@main.command()
@_options("data_dir", "database")
@click.option("--check", is_flag=True, help="Change nothing. The exit status says what is needed.")
def migrate(config: Path | None, *, check: bool, **options: Any) -> None:
    """Create or migrate the schema of the database.

    Processes of an older release keep running on the newer schema, unless the release notes say
    otherwise. `serve` migrates by itself, `api` and `worker` only with --migrate.

    With --check, the exit status is 0 if this release can run on the schema, 1 if a migration is
    needed, 2 if the schema is newer and this release cannot run on it, and 3 if the database cannot
    be read.
    """
    settings = _load(config, options)
    if not check:
        click.echo(_run("migrate", settings))
        return
    try:
        status, sentence = _run("migrate", settings, function="check")
    except click.ClickException as error:
        status, sentence = _UNREADABLE, error.message
    click.echo(f"Error: {sentence}" if status else sentence, err=status > 0)
    raise click.exceptions.Exit(status)


@main.group()
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@_options(*_STORES)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Tenant that the key acts for.")
@click.option("--name", default="", help="Label shown by `keys list`.")
def create(config: Path | None, tenant: str, name: str, **options: Any) -> None:
    """Create a key and print it. It cannot be shown again."""
    settings = _load(config, options)
    record, key = _run("keys", settings, tenant, name, function="create")
    place = effective(settings)["database"] or settings.data_dir
    click.echo(f"created key {record.id} for tenant {tenant} in {place}", err=True)
    click.echo(key)


@keys.command("list")
@_options(*_STORES)
def list_keys(config: Path | None, **options: Any) -> None:
    """List all keys.

    Columns, separated by tabs: id, hint, tenant, label, time of creation, valid or revoked.
    """
    for key in _run("keys", _load(config, options), function="list_all"):
        created = datetime.fromtimestamp(key.created_at / 1000, tz=UTC).isoformat(timespec="seconds")
        state = "revoked" if key.revoked_at else "valid"
        click.echo(f"{key.id}\t{key.hint}\t{key.tenant}\t{key.name}\t{created}\t{state}")


@keys.command()
@_options(*_STORES)
@click.argument("key_id")
def revoke(config: Path | None, key_id: str, **options: Any) -> None:
    """Revoke a key by its id. Takes effect at once."""
    if not _run("keys", _load(config, options), key_id, function="revoke"):
        raise click.ClickException(f"no valid key has the id {key_id!r}: `batchwire-server keys list` shows all keys")


@main.command()
@_options()
def settings(config: Path | None) -> None:
    """Print all settings: effective value, meaning, and the default if it differs."""
    values = effective(_load(config, {}))
    for name, default, meaning in documentation():
        if name not in values:  # a setting of upstreams, and there are none
            continue
        value = values[name]
        differs = "" if value == default else f" Default: {default or 'none'}."
        click.echo(f"{name} = {value}\n    {meaning}{differs}")


if __name__ == "__main__":
    main()
