"""UploadService of the protocol, over the use cases of `service/uploads.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from batchwire import v1

from batchwire_server.api.auth import Context, tenant_of
from batchwire_server.api.convert import lifetime, part_message, upload_message
from batchwire_server.core.errors import missing_parameter
from batchwire_server.service.files import FileSpec
from batchwire_server.service.uploads import Uploads


class UploadServicer(v1.UploadServiceServicer):
    """The RPCs of UploadService."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    async def CreateUpload(self, request: v1.CreateUploadRequest, context: Context) -> v1.Upload:
        """See UploadService."""
        spec = FileSpec(request.filename, request.purpose, lifetime(request, "expires_after"), request.bytes)
        return upload_message(await self._uploads.create(tenant_of(context), spec))

    async def AddUploadPart(
        self, request_iterator: AsyncIterator[v1.AddUploadPartRequest], context: Context
    ) -> v1.UploadPart:
        """See UploadService."""
        first = await anext(aiter(request_iterator), None)
        if first is None or not first.upload_id:
            raise missing_parameter("upload_id")

        async def blocks() -> AsyncIterator[bytes]:
            async for request in request_iterator:
                yield request.data

        return part_message(await self._uploads.add_part(tenant_of(context), first.upload_id, blocks()))

    async def CompleteUpload(self, request: v1.CompleteUploadRequest, context: Context) -> v1.Upload:
        """See UploadService."""
        part_ids = list(request.part_ids)
        state = await self._uploads.complete(tenant_of(context), request.upload_id, part_ids, request.md5)
        return upload_message(state)

    async def CancelUpload(self, request: v1.CancelUploadRequest, context: Context) -> v1.Upload:
        """See UploadService."""
        return upload_message(await self._uploads.cancel(tenant_of(context), request.upload_id))
