"""The lock of the data directory: one `serve` at a time, and a name that outlives it."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchwire_server.roles.errors import DataDirError, DataDirInUseError
from batchwire_server.roles.serve import lock_data_dir


def test_a_second_serve_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path), pytest.raises(DataDirInUseError), lock_data_dir(tmp_path):
        pass


def test_the_next_serve_takes_over_the_name_of_the_workers(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path) as first:
        pass
    with lock_data_dir(tmp_path) as second:
        assert second == first


def test_a_new_data_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    with lock_data_dir(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match="cannot create the data directory"), lock_data_dir(tmp_path / "file" / "b"):
        pass
