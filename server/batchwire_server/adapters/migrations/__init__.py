"""The schema's history, applied in order by alembic when a role starts."""
