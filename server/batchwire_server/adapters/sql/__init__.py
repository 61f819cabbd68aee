"""The stores in SQL: SQLite embedded, or PostgreSQL to scale out.

The statements are the same for both. The differences are in `sqlite.py` and `postgresql.py`.
"""

from __future__ import annotations

from batchwire_server.adapters.sql.backend import Channel as Channel
from batchwire_server.adapters.sql.engine import Database as Database
from batchwire_server.adapters.sql.store import SqlStore as SqlStore
