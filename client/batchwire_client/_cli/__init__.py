"""The `batchwire` command, one duty per file."""
