"""The things that the server keeps. Times are milliseconds since the epoch, by the database's clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from batchwire_server.core.lifecycle import BatchStatus


def after_ms(now: int, lifetime: int | None) -> int | None:
    """Returns the instant `lifetime` seconds after `now`."""
    return None if lifetime is None else now + lifetime * 1000


@dataclass(frozen=True, slots=True)
class File:
    """Stored bytes under an id. `line_count` is None for content that is not JSON Lines."""

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
    """Where an upload stands."""

    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way in, in parts. `lifetime` is that of the finished file, in seconds."""

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
    """One piece of an upload."""

    id: str
    upload_id: str
    bytes: int
    blob_key: str
    created_at: int = 0


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens used."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0


NO_USAGE = Usage()


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Sums usages up."""
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
    """One thing wrong with a batch's input. `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class LineRules:
    """Where the lines of an input may differ from OpenAI's rules.

    Attributes:
        default_target: `method` and `url` may be left out.
        single_model: all lines must name one model.
        drop_stream: a `stream` in a body is taken out instead of being a fault.
        unversioned_target: a `url` may leave out the `/v1` that the endpoint begins with.
    """

    default_target: bool = False
    single_model: bool = False
    drop_stream: bool = False
    unversioned_target: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Many requests that run as one job.

    Attributes:
        input_key: blob of the input; None when there was no such file.
        input_bytes: its size.
        input_file_name: its name.
        retry_of: id of the batch whose failed lines these are.
        replace_model: the model of every line, in the place of what the lines say.
        window_seconds: the completion window.
        output_lifetime: seconds that the files which the batch leaves are kept.
        total, completed, failed: lines.
        open_shards: shards that are not done yet.
        result_bytes: bytes of finished lines that are durable.
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
    """What a task asks a worker to do."""

    VALIDATE = "validate"
    RUN = "run"
    EXPIRE = "expire"
    FINALIZE = "finalize"
    SWEEP = "sweep"
    ORPHANS = "orphans"
    DELIVER = "deliver"


@dataclass(frozen=True, slots=True)
class Shard:
    """Some lines of one model in one piece of a batch's input.

    Attributes:
        window: number of the piece; the shards of a window interleave, windows follow each other.
        offset, length: the bytes of the input that hold the piece.
        first_line: number of the line that starts at `offset`; the first of the file is 1.
        lines: how many of the piece's lines are this model's.
    """

    window: int
    offset: int
    length: int
    first_line: int
    lines: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a batch. `created_at` is in milliseconds."""

    id: str
    type: str
    created_at: int
    batch_id: str


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """Where a tenant wants to be told. The old secret signs too until `old_secret_until`."""

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
    """An event on its way to an endpoint."""

    endpoint_id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of leased work, as its holder knows it.

    Attributes:
        epoch: the fence: it grew when this holder claimed the task, and grows when another does.
        claimed_at: the database's clock at that moment.
        crashes: how many holders in a row have ended without giving the task back or recording a line of it.
        suspect: number of the line that the last holder ran alone when it ended so; negative when that was for the second time.
        deadline: when the work is worthless; None for work that always has worth.
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
    """Finished lines of a shard, as one immutable blob: a header line, then `bytes` bytes of lines.

    `start` is where its lines stand among all finished lines of the batch; the store assigns it.
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
    """A key that acts for a tenant. `hint` is what may be shown of it."""

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
