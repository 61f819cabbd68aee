"""Conversion between rows and records."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from msgspec import structs
from sqlalchemy import Row

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import (
    ApiKey,
    Batch,
    Delivery,
    Event,
    File,
    InputError,
    LineRules,
    Segment,
    Shard,
    Task,
    TaskKind,
    Upload,
    UploadPart,
    UploadStatus,
    Usage,
    WebhookEndpoint,
)

USAGE = Usage.__struct_fields__
_FILE = tuple(field.name for field in fields(File))
_UPLOAD = tuple(field.name for field in fields(Upload))
_PART = tuple(field.name for field in fields(UploadPart))
_BATCH = tuple(
    field.name for field in fields(Batch) if field.name not in {"usage", "metadata", "errors", "status", "line_rules"}
)
_KEY = tuple(field.name for field in fields(ApiKey))
_ENDPOINT = tuple(field.name for field in fields(WebhookEndpoint))
SEGMENT_FIELDS = tuple(field.name for field in fields(Segment) if field.name != "usage")


def _pick(row: Row[Any], names: tuple[str, ...]) -> dict[str, Any]:
    mapping = row._mapping  # noqa: SLF001 - SQLAlchemy's documented way to a row's columns by name
    return {name: mapping[name] for name in names}


def file_record(row: Row[Any]) -> File:
    """Convert a row of `file`."""
    return File(**_pick(row, _FILE))


def upload_record(row: Row[Any]) -> Upload:
    """Convert a row of `upload`."""
    values = _pick(row, _UPLOAD)
    return Upload(**{**values, "status": UploadStatus(values["status"])})


def part_record(row: Row[Any]) -> UploadPart:
    """Convert a row of `upload_part`."""
    return UploadPart(**_pick(row, _PART))


def batch_record(row: Row[Any]) -> Batch:
    """Convert a row of `batch`."""
    more = _pick(row, ("metadata", "errors", "status", "line_rules"))
    return Batch(
        **_pick(row, _BATCH),
        metadata=more["metadata"],
        errors=tuple(InputError(**error) for error in more["errors"]),
        line_rules=LineRules(**more["line_rules"]),
        status=BatchStatus(more["status"]),
        usage=Usage(**_pick(row, USAGE)),
    )


def batch_values(batch: Batch) -> dict[str, Any]:
    """Return the columns of a batch."""
    values = {name: getattr(batch, name) for name in _BATCH}
    return {
        **values,
        "metadata": batch.metadata,
        "errors": [asdict(error) for error in batch.errors],
        "line_rules": asdict(batch.line_rules),
        "status": str(batch.status),
        **structs.asdict(batch.usage),
    }


_TASK = ("id", "kind", "epoch", "attempts", "crashes", "suspect", "batch_id", "tenant", "model", "deadline")


def task_record(row: Row[Any], now: int) -> Task:
    """Convert a row of `task` that was leased at `now`."""
    values = _pick(row, _TASK)
    more = _pick(row, ("shard", "delivery"))
    shard = Shard(**more["shard"]) if more["shard"] else None
    delivery = more["delivery"]
    if delivery:
        delivery = Delivery(delivery["endpoint_id"], Event(**delivery["event"]))
    kind = TaskKind(values.pop("kind"))
    return Task(**values, kind=kind, claimed_at=now, shard=shard, delivery=delivery)


def endpoint_record(row: Row[Any]) -> WebhookEndpoint:
    """Convert a row of `webhook_endpoint`."""
    values = _pick(row, _ENDPOINT)
    return WebhookEndpoint(**{**values, "event_types": tuple(values["event_types"])})


def key_record(row: Row[Any]) -> ApiKey:
    """Convert a row of `api_key`."""
    return ApiKey(**_pick(row, _KEY))


def segment_record(row: Row[Any]) -> Segment:
    """Convert a row of `segment`."""
    return Segment(**_pick(row, SEGMENT_FIELDS), usage=Usage(**_pick(row, USAGE)))
