"""The tables.

Columns carry the names of the records' fields; times are milliseconds since the epoch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite assigns ids by itself only to INTEGER keys


class FileRow(SQLModel, table=True):
    """A file. The row of a deleted file stays until no batch reads its blob."""

    __tablename__ = "file"
    __table_args__ = (Index("file_by_time", "tenant", "created_at", "id"), Index("file_by_key", "blob_key"))

    id: str = Field(primary_key=True)
    tenant: str
    filename: str
    purpose: str
    bytes: int = Field(sa_type=BigInteger)
    sha256: str
    line_count: int | None = Field(sa_type=BigInteger)
    blob_key: str
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(sa_type=BigInteger)
    deleted_at: int | None = Field(default=None, sa_type=BigInteger)


class UploadRow(SQLModel, table=True):
    """A file that is uploaded in parts."""

    __tablename__ = "upload"

    id: str = Field(primary_key=True)
    tenant: str
    filename: str
    purpose: str
    bytes: int = Field(sa_type=BigInteger)
    lifetime: int | None
    status: str
    file_id: str | None
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)


class UploadPartRow(SQLModel, table=True):
    """A part of an upload."""

    __tablename__ = "upload_part"
    __table_args__ = (Index("upload_part_by_key", "blob_key"),)

    id: str = Field(primary_key=True)
    upload_id: str = Field(index=True)
    bytes: int = Field(sa_type=BigInteger)
    blob_key: str
    created_at: int = Field(sa_type=BigInteger)


class BatchRow(SQLModel, table=True):
    """A batch."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("batch_by_time", "tenant", "created_at", "id"),
        Index("batch_by_input", "input_key"),
        Index("batch_by_age", "created_at"),
        UniqueConstraint("tenant", "idempotency_key"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    endpoint: str
    input_file_id: str
    input_key: str | None
    input_bytes: int = Field(sa_type=BigInteger)
    input_file_name: str | None
    completion_window: str
    window_seconds: int
    retry_of: str | None
    replace_model: str | None
    line_rules: dict[str, bool] = Field(sa_column=Column(JSON, nullable=False))
    idempotency_key: str | None
    fingerprint: str | None
    output_lifetime: int | None
    labels: dict[str, str] = Field(
        sa_column=Column("metadata", JSON, nullable=False)
    )  # SQLModel reserves the name `metadata`
    status: str = Field(index=True)
    model: str | None
    errors: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    output_file_id: str | None
    error_file_id: str | None
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    in_progress_at: int | None = Field(sa_type=BigInteger)
    finalizing_at: int | None = Field(sa_type=BigInteger)
    completed_at: int | None = Field(sa_type=BigInteger)
    failed_at: int | None = Field(sa_type=BigInteger)
    expired_at: int | None = Field(sa_type=BigInteger)
    cancelling_at: int | None = Field(sa_type=BigInteger)
    cancelled_at: int | None = Field(sa_type=BigInteger)
    total: int = Field(sa_type=BigInteger)
    completed: int = Field(sa_type=BigInteger)
    failed: int = Field(sa_type=BigInteger)
    input_tokens: int = Field(sa_type=BigInteger)
    cached_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    reasoning_tokens: int = Field(sa_type=BigInteger)
    total_tokens: int = Field(sa_type=BigInteger)
    open_shards: int
    result_bytes: int = Field(sa_type=BigInteger)
    revision: int = Field(sa_type=BigInteger)


class TaskRow(SQLModel, table=True):
    """A task of the queue: `ready` (from `not_before`), `leased`, or `done`.

    A task that is done is kept until its batch ends.
    """

    __tablename__ = "task"
    __table_args__ = (
        Index(
            "task_due",
            "kind",
            "not_before",
            # Without shards: they are many, and have an index of their own.
            sqlite_where=text("state = 'ready' AND kind <> 'run'"),
            postgresql_where=text("state = 'ready' AND kind <> 'run'"),
        ),
        Index(
            "task_leased",
            "lease_owner",
            sqlite_where=text("state = 'leased'"),
            postgresql_where=text("state = 'leased'"),
        ),
        Index(
            "task_shards",
            "tenant",
            "model",
            "deadline",
            "id",
            sqlite_where=text("kind = 'run' AND state = 'ready'"),
            postgresql_where=text("kind = 'run' AND state = 'ready'"),
        ),
        Index(
            "task_lapsing",
            "lease_until",
            sqlite_where=text("state = 'leased'"),
            postgresql_where=text("state = 'leased'"),
        ),
        Index("task_crashed", "kind", sqlite_where=text("crashes > 0"), postgresql_where=text("crashes > 0")),
        # An id is part of the fence and of segments. It must not be reused after its task is
        # deleted.
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, sa_column=Column(BIG, primary_key=True, autoincrement=True))
    kind: str
    state: str
    batch_id: str | None = Field(index=True)
    tenant: str | None
    model: str | None
    deadline: int | None = Field(sa_type=BigInteger)
    not_before: int = Field(sa_type=BigInteger)
    lease_owner: str | None
    lease_until: int | None = Field(sa_type=BigInteger)
    epoch: int
    attempts: int
    crashes: int
    suspect: int | None = Field(default=None, sa_type=BigInteger)
    shard: dict[str, int] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    delivery: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))


class SegmentRow(SQLModel, table=True):
    """Finished lines of a shard."""

    __tablename__ = "segment"
    __table_args__ = (Index("segment_by_start", "batch_id", "start"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, sa_column=Column(BIG, primary_key=True, autoincrement=True))
    batch_id: str
    task_id: int = Field(sa_type=BigInteger, index=True)
    blob_key: str = Field(unique=True)
    header_bytes: int
    bytes: int = Field(sa_type=BigInteger)
    start: int = Field(sa_type=BigInteger)
    completed: int
    failed: int
    input_tokens: int = Field(sa_type=BigInteger)
    cached_tokens: int = Field(sa_type=BigInteger)
    output_tokens: int = Field(sa_type=BigInteger)
    reasoning_tokens: int = Field(sa_type=BigInteger)
    total_tokens: int = Field(sa_type=BigInteger)


class ApiKeyRow(SQLModel, table=True):
    """An API key. Only its digest is stored."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    tenant: str
    name: str
    hint: str
    digest: str = Field(unique=True)
    created_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class WebhookEndpointRow(SQLModel, table=True):
    """A URL that receives a tenant's events."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (Index("webhook_endpoint_by_time", "tenant", "created_at", "id"),)

    id: str = Field(primary_key=True)
    tenant: str
    name: str
    url: str
    event_types: list[str] = Field(sa_column=Column(JSON, nullable=False))
    secret: str
    old_secret: str | None
    old_secret_until: int | None = Field(sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class SchemaRevisionRow(SQLModel, table=True):
    """A revision of this schema.

    Code that does not know the revision reads here whether it can run on it.
    """

    __tablename__ = "schema_revision"

    revision: str = Field(primary_key=True)
    oldest_code: str


FILE, UPLOAD, UPLOAD_PART, BATCH, TASK, SEGMENT, API_KEY, WEBHOOK_ENDPOINT, SCHEMA_REVISION = (
    SQLModel.metadata.tables[name]
    for name in (
        "file",
        "upload",
        "upload_part",
        "batch",
        "task",
        "segment",
        "api_key",
        "webhook_endpoint",
        "schema_revision",
    )
)
