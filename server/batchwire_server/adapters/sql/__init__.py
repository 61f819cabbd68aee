"""The truth in SQL: SQLite embedded, PostgreSQL to scale out. One code path; what differs is in `engine.py`."""

from batchwire_server.adapters.sql.engine import Database as Database
from batchwire_server.adapters.sql.store import SqlStore as SqlStore
