from __future__ import annotations

from pathlib import Path

import pytest
from batchwire_client._atomic_file import atomic_file


def test_the_file_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def interrupted() -> None:
        with atomic_file(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with atomic_file(target) as file:
        file.write(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
