"""The store of files and uploads."""

from __future__ import annotations

from typing import Protocol

from batchwire_server.core.ports.page import Page
from batchwire_server.core.records import File, Upload, UploadPart


class FileStore(Protocol):
    """Files and uploads. A deleted or expired file does not exist for callers."""

    async def add_file(self, file: File, lifetime: int | None) -> File:
        """Store a file and return it with its times.

        It expires after `lifetime` seconds. None means never.
        """

    async def get_file(self, tenant: str, file_id: str) -> File | None:
        """Return a tenant's file, or None."""

    async def list_files(
        self, tenant: str, *, purpose: str, after: str, limit: int, oldest_first: bool
    ) -> Page[File] | None:
        """Return a page of a tenant's files, or None if `after` is not one of them.

        An empty `purpose` or `after` does not filter.
        """

    async def delete_file(self, tenant: str, file_id: str) -> bool:
        """Delete a file; return whether it existed."""

    async def add_upload(self, upload: Upload, open_for: int) -> Upload:
        """Store an upload that accepts parts for `open_for` seconds; return it with its times."""

    async def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """Return a tenant's upload, or None. After its time its status is `expired`."""

    async def add_part(self, part: UploadPart) -> UploadPart:
        """Store a part; return it with its time."""

    async def get_parts(self, upload_id: str) -> list[UploadPart]:
        """Return the parts of an upload."""

    async def complete_upload(self, upload: Upload, file: File, lifetime: int | None) -> Upload | None:
        """Store the file and complete the upload in one step; None if it is no longer pending."""

    async def cancel_upload(self, tenant: str, upload_id: str) -> bool:
        """Cancel an upload; return whether it was pending."""
