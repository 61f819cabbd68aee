"""The `batchwire` command."""

from batchwire_client._cli.main import program


def main() -> None:
    """Runs the command line and exits with its code."""
    program(prog_name="batchwire")


if __name__ == "__main__":
    main()
