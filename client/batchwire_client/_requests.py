"""Builds the requests that carry more than an id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from batchwire import v1

ORDERS = {"asc": v1.LIST_ORDER_ASC, "desc": v1.LIST_ORDER_DESC}


class Page(Protocol):
    """The paging fields that all list responses have."""

    @property
    def last_id(self) -> str:
        """Id of the last item of the page."""

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""


def next_page(page: Page) -> str | None:
    """Return the `after` of the next page, or None after the last page."""
    return page.last_id if page.has_more and page.last_id else None


def expires_after(seconds: int | None) -> v1.ExpiresAfter | None:
    """Return an expiry in seconds after creation. None stays None."""
    return None if seconds is None else v1.ExpiresAfter(anchor="created_at", seconds=seconds)


def upload_header(
    filename: str, purpose: str, expires: int | None, size: int | None, sha256: str | None
) -> v1.UploadFileRequest:
    """Return the first message of an upload, which describes the file."""
    spec = v1.UploadFileSpec(
        filename=filename, purpose=purpose, expires_after=expires_after(expires), bytes=size, sha256=sha256 or ""
    )
    return v1.UploadFileRequest(spec=spec)


def upload_data(chunk: bytes) -> v1.UploadFileRequest:
    """Return a message with bytes of a file."""
    return v1.UploadFileRequest(data=chunk)


def create_upload(
    filename: str, size: int, purpose: str, mime_type: str, expires: int | None
) -> v1.CreateUploadRequest:
    """Return the request that starts an upload in parts."""
    return v1.CreateUploadRequest(
        bytes=size, filename=filename, purpose=purpose, mime_type=mime_type, expires_after=expires_after(expires)
    )


def part_header(upload_id: str) -> v1.AddUploadPartRequest:
    """Return the first message of a part, which names its upload."""
    return v1.AddUploadPartRequest(upload_id=upload_id)


def part_data(chunk: bytes) -> v1.AddUploadPartRequest:
    """Return a message with bytes of a part."""
    return v1.AddUploadPartRequest(data=chunk)


def list_files(purpose: str, order: str, page_size: int | None, after: str) -> v1.ListFilesRequest:
    """Return the request for one page of files. Raise ValueError if `order` is unknown."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {order!r}")
    return v1.ListFilesRequest(purpose=purpose, order=ORDERS[order], limit=page_size, after=after)


def create_batch(
    input_file: str | v1.File,
    endpoint: str,
    completion_window: str,
    metadata: Mapping[str, str] | None,
    output_expires_after: int | None,
) -> v1.CreateBatchRequest:
    """Return the request that creates a batch."""
    return v1.CreateBatchRequest(
        input_file_id=input_file.id if isinstance(input_file, v1.File) else input_file,
        endpoint=endpoint,
        completion_window=completion_window,
        metadata=dict(metadata or {}),
        output_expires_after=expires_after(output_expires_after),
    )


def retry_batch(
    batch: str | v1.Batch, completion_window: str, metadata: Mapping[str, str] | None, output_expires_after: int | None
) -> v1.CreateBatchRequest:
    """Return the request that creates a batch from the failed lines of another."""
    return v1.CreateBatchRequest(
        retry_of=batch.id if isinstance(batch, v1.Batch) else batch,
        completion_window=completion_window,
        metadata=dict(metadata or {}),
        output_expires_after=expires_after(output_expires_after),
    )
