"""What the server needs of the world outside: the truth, the bytes, the upstreams, and word of change.

Every method may raise what its adapter's driver raises when the world is out of order; the errors named here are those that are part of the
port. Stores are one object in practice, kept apart here by duty.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from batchwire_server.core.lifecycle import BatchStatus
from batchwire_server.core.records import (
    ApiKey,
    Batch,
    File,
    InputError,
    Model,
    Segment,
    Shard,
    Task,
    TaskKind,
    Upload,
    UploadPart,
    WebhookEndpoint,
)
from batchwire_server.core.results import NoReply, Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list, and whether there is more after it."""

    items: list[T]
    has_more: bool


class BlobWriter(Protocol):
    """Bytes on their way into a blob. Leaving its context without `commit` leaves nothing behind."""

    async def write(self, data: bytes) -> None:
        """Appends bytes."""

    async def commit(self) -> None:
        """Makes all bytes durable, and the blob visible under its key, at once."""


class BlobStore(Protocol):
    """Immutable bytes under keys of our own making: words of `[A-Za-z0-9_-]`, joined by slashes."""

    def writer(self, key: str) -> AbstractAsyncContextManager[BlobWriter]:
        """Opens a new blob for writing."""

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small blob, durably."""

    async def read(self, key: str, start: int, end: int) -> bytes:
        """Returns the bytes from `start` up to `end`, fewer where the blob ends. Raises BlobNotFoundError."""

    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from `start` up to `end` in blocks of some hundred KiB. Raises BlobNotFoundError."""

    async def reach(self) -> None:
        """Raises OutOfReachError when nothing could be stored just now."""

    async def delete(self, keys: Collection[str]) -> None:
        """Removes blobs; those that do not exist are passed over."""

    async def delete_below(self, prefix: str) -> None:
        """Removes all blobs whose key starts with `prefix` and a slash."""

    def list_below(self, prefix: str, before: float) -> AsyncGenerator[list[str], None]:
        """Yields the keys that start with `prefix` and a slash, of blobs stored before an instant (seconds since the epoch): some hundred at a time, in no order.

        They may be deleted meanwhile.
        """

    async def clear_temporary(self, before: float) -> None:
        """Removes what writers left that were killed, unless something was written to it since an instant (seconds since the epoch)."""


class FileStore(Protocol):
    """Files and uploads. A file that is deleted or past its time is as if it never was."""

    async def add_file(self, file: File, lifetime: int | None) -> File:
        """Stores a file that lives `lifetime` seconds, or until it is deleted; returns it with its times."""

    async def get_file(self, tenant: str, file_id: str) -> File | None:
        """Returns a tenant's file."""

    async def list_files(
        self, tenant: str, *, purpose: str, after: str, limit: int, oldest_first: bool
    ) -> Page[File] | None:
        """Returns a page of a tenant's files, or None when `after` is not one of them. Empty strings do not filter."""

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        """Makes a file unreachable; tells whether there was one."""

    async def add_upload(self, upload: Upload, open_for: int) -> Upload:
        """Stores an upload that takes parts for `open_for` seconds; returns it with its times."""

    async def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """Returns a tenant's upload; one past its time is `expired`."""

    async def add_part(self, part: UploadPart) -> UploadPart:
        """Stores a part; returns it with its time."""

    async def get_parts(self, upload_id: str) -> list[UploadPart]:
        """Returns the parts of an upload."""

    async def complete_upload(self, upload: Upload, file: File, lifetime: int | None) -> Upload | None:
        """Stores the file and completes the upload in one step. Returns None when the upload is no longer pending."""

    async def cancel_upload(self, tenant: str, upload_id: str) -> bool:
        """Cancels an upload; tells whether it was pending."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A name for a call, and what tells the call from others."""

    key: str
    fingerprint: str


class BatchStore(Protocol):
    """Batches, as callers see them."""

    async def add_batch(self, batch: Batch, once: IdempotencyKey | None = None, per_hour: int = 0) -> Batch:
        """Stores a batch with the tasks that start it and that end it in time; returns it with its times.

        Raises BatchwireError when its tenant has stored `per_hour` batches, if that is not 0, within the last hour.

        With `once`, a batch that was stored under the same key before is returned in its place. Raises BatchwireError when that one was another call's.
        """

    async def find_batch(self, tenant: str, once: IdempotencyKey) -> Batch | None:
        """Returns the batch that was stored under a key before. Raises BatchwireError when it was another call's."""

    async def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """Returns a tenant's batch."""

    async def list_batches(self, tenant: str, *, after: str, limit: int) -> Page[Batch] | None:
        """Returns a page of a tenant's batches, newest first, or None when `after` is not one of them."""

    async def cancel_batch(self, tenant: str, batch_id: str) -> None:
        """Takes a batch that is validating or in progress to `cancelling`; leaves others as they are."""

    async def changed_batches(self, revisions: Mapping[str, int]) -> list[Batch]:
        """Returns those of the named batches whose revision is another than the given one."""

    async def segments_from(self, batch_id: str, offset: int, limit: int) -> list[Segment]:
        """Returns segments that hold finished lines at or after `offset`, in their order."""


@dataclass(frozen=True, slots=True)
class Held:
    """A task that a worker still holds, and where its batch stands."""

    id: int
    epoch: int
    batch_status: BatchStatus | None


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a worker has to report of one shard: perhaps a segment, perhaps that it is done."""

    task: Task
    segment: Segment | None
    done: bool


@dataclass(frozen=True, slots=True)
class CompletedShard:
    """A shard that nobody runs any more, and what was recorded of it."""

    model: str
    shard: Shard
    segments: list[Segment]


@dataclass(frozen=True, slots=True)
class BatchOutputs:
    """What a batch leaves: its files, where there is something to leave, and how many of its lines never ran."""

    output: File | None
    error: File | None
    unrun: int


SOON = (TaskKind.VALIDATE, TaskKind.EXPIRE, TaskKind.FINALIZE)
"""What any worker does soon, however busy upstreams are."""

QUARANTINE_AFTER_CRASHES = 3
"""A shard is set aside after so many crashes in a row: it is run apart from all other work, line by line."""

CRASH_DELAY_MS = 10_000
"""What is no shard waits so long after as many."""


class TaskQueue(Protocol):
    """The queue. Whatever takes a Task is fenced: it raises LeaseLostError when the task's epoch has moved on."""

    async def claim(
        self,
        worker: str,
        kinds: Collection[TaskKind],
        *,
        ttl: float,
        full_models: Collection[str] = (),
        fed: Collection[tuple[str, str]] = (),
        most: Mapping[str, int] | None = None,
        limit: int = 1,
        quarantined: bool = False,
        expired_before: int | None = None,
    ) -> list[Task]:
        """Leases up to `limit` tasks that are due for `ttl` seconds, the most urgent first.

        Another's lease is taken over when it had run out at `expired_before`, by the database's clock; without that, when it has by now.

        Shards of `full_models` are left for others, and those of a model for a tenant in `fed`, and more than `most` says of a model, but for those whose
        lease has run out; so are shards that were set aside, unless it is just those that are wanted.
        """

    async def quarantine_waits(self) -> bool:
        """Tells whether a shard that was set aside could be claimed."""

    async def overdue(self, seconds: float) -> bool:
        """Tells whether something of a batch, but for its shards, has been due for so long without being claimed: as if there were no worker."""

    async def suspect(self, task: Task, line: int | None) -> None:
        """Notes, durably, which line is about to be run alone (see Task), or that none is."""

    async def renew(self, worker: str, ttl: float) -> int:
        """Makes all leases of a worker last `ttl` seconds from now; returns the database's clock."""

    async def held(self, worker: str) -> list[Held]:
        """Returns what a worker holds, and where the batches stand."""

    async def release(self, task: Task | Held, delay: float = 0.0) -> None:
        """Gives a task back, to be claimed again after `delay` seconds."""

    async def release_worker(self, worker: str, *, crashed: bool) -> int:
        """Gives back all that a worker holds, and that workers below it (`worker/…`) hold; returns how many.

        With `crashed`, it counts against the tasks; one that is no shard then waits a while once it has crashed `SET_ASIDE_AFTER` times.
        """

    async def complete(self, task: Task) -> None:
        """Ends a task that has nothing to report, and forgets it."""

    async def model_shares(self) -> dict[str, int]:
        """Returns how many workers hold shards of each model just now."""

    async def batch_of(self, task: Task) -> Batch:
        """Returns the batch that a task works for."""

    async def accept(self, task: Task, model: str | None, shards: Sequence[tuple[str, Shard]]) -> None:
        """Ends validation well: the batch is in progress, its shards are in the queue."""

    async def reject(self, task: Task, faults: Sequence[InputError]) -> None:
        """Ends validation badly: the batch has failed."""

    async def segments_of(self, task: Task) -> list[Segment]:
        """Returns what was recorded of a shard."""

    async def record(self, reports: Sequence[ShardReport]) -> set[Task]:
        """Records finished lines and shards in one step; returns the tasks whose lease was lost, of which nothing is recorded.

        When the last shard of a batch is done, the batch goes on to its finalizing. Recording the same segment again changes nothing.
        """

    async def expire(self, task: Task) -> None:
        """Ends a batch's time: what has not started will not."""

    async def shards_of(self, batch_id: str) -> list[CompletedShard]:
        """Returns the shards of a batch by window."""

    async def finish(self, task: Task, status: BatchStatus, outputs: BatchOutputs, lifetime: int) -> None:
        """Ends a batch: its files and its last state appear in one step."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing needs any more.

    Attributes:
        files: ids, and the keys of their blobs.
        uploads: ids of uploads whose parts are of no more use.
        batches: ids of batches whose segments are of no more use.
    """

    files: dict[str, str]
    uploads: list[str]
    batches: list[str]


class KeyStore(Protocol):
    """API keys, known by their digests."""

    async def add_key(self, key: ApiKey, digest: str) -> ApiKey:
        """Stores a key; returns it with its time."""

    async def list_keys(self) -> list[ApiKey]:
        """Returns all keys, revoked ones too, oldest first."""

    async def revoke_key(self, key_id: str) -> bool:
        """Revokes a key; tells whether there was one that was not revoked."""

    async def tenant_of_key(self, digest: str) -> str | None:
        """Returns the tenant of a key that is not revoked."""

    async def has_keys(self) -> bool:
        """Tells whether there ever was a key."""


class WebhookStore(Protocol):
    """Webhook endpoints. That something is to be delivered is written with the end of a batch itself."""

    async def add_webhook_endpoint(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        """Stores an endpoint; returns it with its times."""

    async def get_webhook_endpoint(self, tenant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """Returns a tenant's endpoint."""

    async def list_webhook_endpoints(self, tenant: str, *, after: str, limit: int) -> Page[WebhookEndpoint] | None:
        """Returns a page of a tenant's endpoints, newest first, or None when `after` is not one of them."""

    async def update_webhook_endpoint(
        self, endpoint: WebhookEndpoint, keep_old_secret: float = 0.0
    ) -> WebhookEndpoint | None:
        """Stores what has changed of an endpoint, which `keep_old_secret` lets sign with its old secret for so many seconds; None when it is gone."""

    async def delete_webhook_endpoint(self, tenant: str, endpoint_id: str) -> bool:
        """Removes an endpoint; tells whether there was one."""


class WebhookSender(Protocol):
    """Posts webhooks."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """Posts once; returns the status of the answer. Raises BatchwireError when none came."""


class GarbageStore(Protocol):
    """Rows past their time."""

    async def garbage(self, limit: int, result_lifetime: int) -> Garbage:
        """Returns what nothing needs any more, at most `limit` of a kind.

        A file that was deleted or is past its time, once no batch still reads it; the parts of an upload that has ended or is gone; the
        segments of a batch that ended `result_lifetime` seconds ago or is gone.
        """

    async def forget(self, garbage: Garbage) -> None:
        """Removes the rows of garbage whose blobs are gone."""

    async def prune(self, limit: int, *, upload_lifetime: int, batch_lifetime: int) -> bool:
        """Removes rows that are kept only to be looked at, at most `limit` of a kind; tells whether there may be more.

        Uploads whose time was over `upload_lifetime` seconds ago; batches that ended `batch_lifetime` seconds ago, or none if that is 0.
        """

    async def referenced(self, keys: Collection[str]) -> set[str]:
        """Returns those of some blobs' keys that a row refers to, or that a batch which has not ended reads."""

    async def newest_needed(self, limit: int) -> list[str]:
        """Returns where the bytes of the newest files are that are no garbage, the newest first."""


class Reachable(Protocol):
    """A store that can be out of reach."""

    async def reach(self) -> None:
        """Raises OutOfReachError when nothing could be written just now."""


class ChangeFeed(Protocol):
    """Word that something in the database has changed, whoever changed it."""

    async def wait(self, seen: int, timeout: float) -> int:
        """Waits until the change counter is another than `seen`, or `timeout` seconds; returns the counter."""


class Upstream(Protocol):
    """An inference server."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    async def call(self, endpoint: str, body: bytes) -> Reply | NoReply:
        """Makes one call; never raises for what the upstream does. `endpoint` is one such as `/v1/chat/completions`."""

    async def models(self) -> list[Model]:
        """Returns the models that it serves. Raises UnknownModelsError when it does not tell."""
