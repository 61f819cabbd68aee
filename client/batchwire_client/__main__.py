"""Entry point of the `batchwire` command."""

from __future__ import annotations

from batchwire_client._cli.main import program


def main() -> None:
    """Run the command line and exit with its code."""
    program(prog_name="batchwire")


if __name__ == "__main__":
    main()
