"""Sources of settings: command line, environment, file, defaults, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchwire_server.settings import load, secret
from pydantic import ValidationError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "batchwire.toml"
    path.write_text("workers = 2\n[limits]\nmax_lines = 20\n[[upstreams]]\nbase_url = 'http://gpu-1'\n")
    return path


def test_the_command_line_overrides_the_environment_the_file_and_the_default(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().workers == 1
    assert load(config).workers == 2
    monkeypatch.setenv("BATCHWIRE_WORKERS", "3")
    assert load(config).workers == 3
    assert load(config, {"workers": 4}).workers == 4


def test_sources_are_merged_within_a_table(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHWIRE_LIMITS__MIN_LINES", "3")
    limits = load(config).limits
    assert (limits.min_lines, limits.max_lines) == (3, 20)


def test_the_environment_may_name_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHWIRE_CONFIG", str(config))
    assert [upstream.base_url for upstream in load().all_upstreams] == ["http://gpu-1"]


@pytest.mark.parametrize("text", ["wokers = 2", "[limits]\nmax_linez = 3", "[[upstreams]]\nname = 'x'"])
def test_unknown_and_missing_keys_of_the_file_are_errors(config: Path, text: str) -> None:
    config.write_text(text)
    with pytest.raises(ValidationError):
        load(config)


def test_a_secret_is_read_from_the_variable_that_a_setting_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k")
    assert (secret("MY_KEY"), secret("")) == ("k", None)
