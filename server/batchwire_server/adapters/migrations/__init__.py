"""The schema's history, applied in order by alembic.

`batchwire-server migrate` and `serve` apply it, and `api` and `worker` with `--migrate`.
"""
