"""The verbs of the `batchwire` command, one per file."""
