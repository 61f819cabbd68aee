"""Batches: created, listed, cancelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from batchwire_server.core import ids
from batchwire_server.core.completion_window import parse_window
from batchwire_server.core.errors import (
    above_max_length,
    batch_not_cancellable,
    batch_not_found,
    file_not_found,
    invalid_value,
    missing_parameter,
    unsupported_value,
)
from batchwire_server.core.lifecycle import TERMINAL, BatchStatus
from batchwire_server.core.limits import Limits
from batchwire_server.core.lines import STRICT
from batchwire_server.core.ports import BatchStore, FileStore, IdempotencyKey, Page
from batchwire_server.core.records import Batch, File, LineRules
from batchwire_server.service.checks import PAGE_DEFAULT, PAGE_LIMIT, check_length, check_limit, unknown_after
from batchwire_server.service.retries import Retries

MAX_METADATA_PAIRS = 16
MAX_METADATA_KEY = 64
MAX_METADATA_VALUE = 512
MAX_NAME = 255

_NOT_CANCELLABLE = TERMINAL - {BatchStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """The batch that a caller asks for.

    Attributes:
        output_lifetime: seconds for which output and error file are kept. None means the default.
        replace_model: model that every line is sent to, in place of its own.
        line_rules: exceptions to OpenAI's rules for lines. None means no exceptions.
        require_input_file: refuse the call if the input file does not exist, not fail the batch.
        retry_of: id of the batch whose failed lines are to run again.
    """

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] = field(default_factory=dict)
    output_lifetime: int | None = None
    replace_model: str | None = None
    line_rules: LineRules | None = None
    require_input_file: bool = False
    retry_of: str | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of all fields: two calls have the same one only if all fields are equal."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise BatchwireError if metadata exceed their limits."""
    if len(metadata) > MAX_METADATA_PAIRS:
        message = f"Invalid 'metadata': too many properties. Expected at most {MAX_METADATA_PAIRS}, but got {len(metadata)} instead."
        raise above_max_length("metadata", message)
    for key, value in metadata.items():
        if len(key) > MAX_METADATA_KEY:
            message = (
                f"Invalid key in 'metadata': '{key[:MAX_METADATA_KEY]}…' is longer than {MAX_METADATA_KEY} characters."
            )
            raise above_max_length("metadata", message)
        if len(value) > MAX_METADATA_VALUE:
            message = (
                f"Invalid 'metadata.{key}': string too long. Expected a string with maximum length {MAX_METADATA_VALUE}, "
                f"but got a string with length {len(value)} instead."
            )
            raise above_max_length(f"metadata.{key}", message)


def _completed(spec: BatchSpec, source: Batch) -> BatchSpec:
    """Return the spec of a retry, with unset fields taken from the batch that it retries.

    Raises BatchwireError if it contradicts that batch.
    """
    for param in ("input_file_id", "endpoint"):
        given, original = getattr(spec, param), getattr(source, param)
        if given not in {"", original}:
            message = f"Invalid value: a retry of '{source.id}' has '{original}' here, or leaves it out."
            raise invalid_value(param, message)
    return replace(
        spec,
        input_file_id=source.input_file_id,
        endpoint=source.endpoint,
        completion_window=spec.completion_window or source.completion_window,
        output_lifetime=spec.output_lifetime or source.output_lifetime,
        replace_model=spec.replace_model or source.replace_model,
        line_rules=spec.line_rules or source.line_rules,
    )


class Batches:
    """The use cases of batches."""

    def __init__(self, batches: BatchStore, files: FileStore, retries: Retries, limits: Limits) -> None:
        self._batches = batches
        self._files = files
        self._retries = retries
        self._limits = limits

    async def create(self, tenant: str, spec: BatchSpec, idempotency_key: str = "") -> Batch:
        """Create a batch, or return the one that an earlier call with the same key created.

        Raises BatchwireError. A missing input file is not an error here. It fails the batch, unless
        the spec has `require_input_file`.
        """
        once = IdempotencyKey(idempotency_key, spec.fingerprint) if idempotency_key else None
        source = await self.get(tenant, spec.retry_of) if spec.retry_of else None
        resolved = _completed(spec, source) if source else spec
        self._check(resolved, idempotency_key)
        if once and (known := await self._batches.find_batch(tenant, once)):
            return known  # even if its input file has been deleted since
        if source is None:
            return await self._add(tenant, resolved, await self._input(tenant, resolved), once)
        file = await self._retries.input_of(source)
        added = None
        try:
            added = await self._add(tenant, replace(resolved, input_file_id=file.id), file, once)
        finally:
            if added is None or added.input_file_id != file.id:
                await self._retries.forget(file)
        return added

    def _check(self, spec: BatchSpec, idempotency_key: str) -> None:
        """Raise BatchwireError if a field is missing, too long or not supported."""
        named = {"idempotency_key": idempotency_key, "input_file_id": spec.input_file_id}
        for param, text in {**named, "replace.model": spec.replace_model or ""}.items():
            check_length(param, text, MAX_NAME)
        for param in ("input_file_id", "endpoint", "completion_window"):
            if not getattr(spec, param):
                raise missing_parameter(param)
        if spec.endpoint not in self._limits.endpoints:
            raise unsupported_value("endpoint", spec.endpoint, self._limits.endpoints)
        parse_window(spec.completion_window)
        check_metadata(spec.metadata)

    async def _input(self, tenant: str, spec: BatchSpec) -> File | None:
        """Return the input file, or None if it does not exist.

        Raises BatchwireError if it has another purpose, or is required and does not exist.
        """
        file = await self._files.get_file(tenant, spec.input_file_id)
        if file is None and spec.require_input_file:
            raise file_not_found(spec.input_file_id)
        if file and file.purpose != "batch":
            message = f"Invalid value: the file '{file.id}' has purpose '{file.purpose}', and must have 'batch'."
            raise invalid_value("input_file_id", message)
        return file

    async def _add(self, tenant: str, spec: BatchSpec, file: File | None, once: IdempotencyKey | None) -> Batch:
        batch = Batch(
            id=ids.batch_id(),
            tenant=tenant,
            endpoint=spec.endpoint,
            input_file_id=spec.input_file_id,
            input_key=file.blob_key if file else None,
            input_bytes=file.bytes if file else 0,
            completion_window=spec.completion_window,
            window_seconds=parse_window(spec.completion_window),
            output_lifetime=spec.output_lifetime,
            metadata=dict(spec.metadata),
            input_file_name=file.filename if file else None,
            retry_of=spec.retry_of,
            replace_model=spec.replace_model,
            line_rules=spec.line_rules or STRICT,
        )
        return await self._batches.add_batch(batch, once, self._limits.batches_per_hour)

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Return a batch. Raises BatchwireError if the tenant has no such batch."""
        batch = await self._batches.get_batch(tenant, batch_id)
        if batch is None:
            raise batch_not_found(batch_id)
        return batch

    async def list(self, tenant: str, *, limit: int | None = None, after: str = "") -> Page[Batch]:
        """Return a page of batches, newest first. Raises BatchwireError."""
        size = check_limit(limit, PAGE_LIMIT, PAGE_DEFAULT)
        page = await self._batches.list_batches(tenant, after=after, limit=size)
        if page is None:
            raise unknown_after(after)
        return page

    async def cancel(self, tenant: str, batch_id: str) -> Batch:
        """Request that a batch ends early; return it.

        Raises BatchwireError if it has ended otherwise.
        """
        await self._batches.cancel_batch(tenant, batch_id)
        batch = await self.get(tenant, batch_id)
        if batch.status in _NOT_CANCELLABLE:
            raise batch_not_cancellable(batch.status)
        return batch
