"""Add a migration from the newest revision to what `adapters/sql/tables.py` declares.

Run as `make migration MESSAGE="add the column x"`. Writes the revision's module. Also writes into
`oldest_code.toml` the git tree of HEAD, as the code of the revision before.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import Script, ScriptDirectory
from batchwire_server.adapters.sql.migrate import MIGRATIONS, alembic_config
from sqlalchemy import Connection, create_engine

CODE = MIGRATIONS / "oldest_code.toml"


def write_revision(connection: Connection, message: str) -> Script:
    """Write the module of the next revision, by way of an empty database."""
    config = alembic_config(connection)
    command.upgrade(config, "head")
    newest = ScriptDirectory.from_config(config).get_revision("head")
    # The oldest code stays the same as long as migrations only add.
    config.attributes["oldest_code"] = newest.module.oldest_code
    made = command.revision(config, message, autogenerate=True, rev_id=f"{int(newest.revision) + 1:04d}")
    assert isinstance(made, Script)
    path = Path(made.path)
    text = path.read_text().replace("sqlmodel.sql.sqltypes.AutoString()", "sa.String()")
    path.write_text(re.sub(r"^ *# ###.*\n", "", text, flags=re.MULTILINE))  # alembic's own comments
    return made


def write_code_of(revision: str) -> None:
    """Write that the tree of HEAD is code of a revision, unless there is one already."""
    text = CODE.read_text()
    if not re.search(rf"^{revision} = ", text, re.MULTILINE):
        command = ["git", "rev-parse", "HEAD^{tree}"]
        tree = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        CODE.write_text(f'{text}{revision} = "{tree}"\n')


def main(message: str) -> None:
    """Write both, and print what is left to do."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/newest.db")
        with engine.begin() as connection:
            made = write_revision(connection, message)
        engine.dispose()
    assert isinstance(made.down_revision, str)
    write_code_of(made.down_revision)
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "--fix", "--quiet", made.path], check=True)
    subprocess.run([*ruff, "format", "--quiet", made.path], check=True)
    print(f"{made.path}: read it, and check its `oldest_code`")


if __name__ == "__main__":
    main(sys.argv[1])
