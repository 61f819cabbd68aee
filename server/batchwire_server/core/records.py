"""The records that the server stores.

Times are in milliseconds since the epoch, by the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from batchwire_server.core.lifecycle import BatchStatus


def after_ms(now: int, lifetime: int | None) -> int | None:
    """Return the time `lifetime` seconds after `now`, or None if `lifetime` is None."""
    return None if lifetime is None else now + lifetime * 1000


@dataclass(frozen=True, slots=True)
class File:
    """Stored bytes. `line_count` is None if the content is not JSON Lines."""

    id: str
    tenant: str
    filename: str
    purpose: str
    bytes: int
    sha256: str
    line_count: int | None
    blob_key: str
    created_at: int = 0
    expires_at: int | None = None


class UploadStatus(StrEnum):
    """The status of an upload."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is uploaded in parts. `lifetime` is that of the resulting file, in seconds."""

    id: str
    tenant: str
    filename: str
    purpose: str
    bytes: int
    lifetime: int | None
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    created_at: int = 0
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class UploadPart:
    """A part of an upload."""

    id: str
    upload_id: str
    bytes: int
    blob_key: str
    created_at: int = 0


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Numbers of tokens."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0


NO_USAGE = Usage()


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum of usages."""
    read = cached = written = reasoning = total = 0
    for usage in usages:
        read += usage.input_tokens
        cached += usage.cached_tokens
        written += usage.output_tokens
        reasoning += usage.reasoning_tokens
        total += usage.total_tokens
    return Usage(read, cached, written, reasoning, total)


@dataclass(frozen=True, slots=True)
class InputError:
    """An error in a batch's input. `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class LineRules:
    """Differences from OpenAI's rules for input lines.

    Attributes:
        default_target: `method` and `url` may be omitted.
        single_model: all lines must name the same model.
        drop_stream: `stream` in a body is removed and not an error.
        unversioned_target: a `url` may omit the `/v1` of the endpoint.
    """

    default_target: bool = False
    single_model: bool = False
    drop_stream: bool = False
    unversioned_target: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """The requests of an input file, run as a unit.

    Attributes:
        input_key: blob key of the input. None means that there is no such file.
        input_bytes: size of the input.
        input_file_name: name of the input file.
        retry_of: id of the batch whose failed lines this one runs again.
        replace_model: the model of every line, instead of those that the lines name.
        window_seconds: the completion window.
        output_lifetime: seconds that the output and error files are kept.
        total: number of lines.
        completed: number of lines with a result.
        failed: number of lines with an error.
        open_shards: number of shards that are not done.
        result_bytes: bytes of recorded results.
        revision: grows with every change.
    """

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    input_key: str | None
    input_bytes: int
    completion_window: str
    window_seconds: int
    output_lifetime: int | None
    metadata: dict[str, str] = field(default_factory=dict)
    input_file_name: str | None = None
    retry_of: str | None = None
    replace_model: str | None = None
    line_rules: LineRules = LineRules()
    status: BatchStatus = BatchStatus.VALIDATING
    model: str | None = None
    errors: tuple[InputError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int = 0
    expires_at: int = 0
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Usage = NO_USAGE
    open_shards: int = 0
    result_bytes: int = 0
    revision: int = 1


class TaskKind(StrEnum):
    """The kind of work of a task."""

    VALIDATE = "validate"
    RUN = "run"
    EXPIRE = "expire"
    FINALIZE = "finalize"
    SWEEP = "sweep"
    ORPHANS = "orphans"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Shard:
    """The lines of one model in one window of a batch's input.

    A window is a range of consecutive lines. Its shards' lines alternate within it.

    Attributes:
        window: number of the window, from 0.
        offset: first byte of the window in the input.
        length: bytes of the window.
        first_line: number of the line at `offset`. The first line of the file is 1.
        lines: number of lines of this model in the window.
    """

    window: int
    offset: int
    length: int
    first_line: int
    lines: int


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a batch's status that webhooks report."""

    id: str
    type: str
    created_at: int
    batch_id: str


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A URL that receives a tenant's events. The old secret signs too until `old_secret_until`."""

    id: str
    tenant: str
    name: str
    url: str
    event_types: tuple[str, ...]
    secret: str
    old_secret: str | None = None
    old_secret_until: int | None = None
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event to be delivered to an endpoint."""

    endpoint_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of leased work, as its holder knows it.

    Attributes:
        epoch: number of the claim, which is the fence: it grows with each claim.
        attempts: number of claims.
        claimed_at: the database's clock at the claim.
        deadline: the work is useless from then on. None means never.
        crashes: number of holders in a row that ended without releasing the task or recording a
            line of it.
        suspect: number of the line that the last holder ran alone when it crashed, and that may be
            a poison pill. Negative after the second crash on it.
    """

    id: int
    kind: TaskKind
    epoch: int
    attempts: int
    claimed_at: int
    batch_id: str | None
    tenant: str | None
    model: str | None
    deadline: int | None
    shard: Shard | None
    crashes: int = 0
    suspect: int | None = None
    delivery: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """Finished lines of a shard, in one blob: a header line, then `bytes` bytes of lines.

    `start` is the offset of its lines among all finished lines of the batch. The store assigns it.
    """

    task_id: int
    blob_key: str
    header_bytes: int
    bytes: int
    completed: int
    failed: int
    usage: Usage
    start: int = 0


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that acts for a tenant. `hint` is the part that may be shown."""

    id: str
    tenant: str
    name: str
    hint: str
    created_at: int = 0
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that an upstream serves. `created` is in seconds since the epoch."""

    id: str
    created: int
    owned_by: str
