"""FileService of the protocol, over the use cases of `service/files.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from batchwire import v1

from batchwire_server.api.auth import Context, tenant_of
from batchwire_server.api.convert import file_message, file_spec, page_fields, page_limit
from batchwire_server.core.records import File
from batchwire_server.service.files import Files, FileSpec


class FileServicer(v1.FileServiceServicer):
    """The RPCs of FileService."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def UploadFile(self, request_iterator: AsyncIterator[v1.UploadFileRequest], context: Context) -> v1.File:
        """See FileService."""

        async def messages() -> AsyncIterator[FileSpec | bytes]:
            async for request in request_iterator:
                payload = request.WhichOneof("payload")
                if payload == "data":
                    yield request.data
                elif payload == "spec":
                    yield file_spec(request.spec)

        return file_message(await self._files.upload(tenant_of(context), messages()))

    async def GetFile(self, request: v1.GetFileRequest, context: Context) -> v1.File:
        """See FileService."""
        return file_message(await self._files.get(tenant_of(context), request.file_id))

    async def ListFiles(self, request: v1.ListFilesRequest, context: Context) -> v1.ListFilesResponse:
        """See FileService."""
        page = await self._files.list(
            tenant_of(context),
            purpose=request.purpose,
            limit=page_limit(request),
            oldest_first=request.order == v1.LIST_ORDER_ASC,
            after=request.after,
        )
        files = [file_message(file) for file in page.items]
        return v1.ListFilesResponse(**page_fields(files, has_more=page.has_more))

    async def DeleteFile(self, request: v1.DeleteFileRequest, context: Context) -> v1.DeleteFileResponse:
        """See FileService."""
        await self._files.delete(tenant_of(context), request.file_id)
        return v1.DeleteFileResponse(id=request.file_id, deleted=True)

    async def DownloadFile(
        self, request: v1.DownloadFileRequest, context: Context
    ) -> AsyncIterator[v1.DownloadFileResponse]:
        """See FileService."""
        limit = request.limit if request.HasField("limit") else None
        content = self._files.download(tenant_of(context), request.file_id, request.offset, limit)
        async with aclosing(content):
            async for part in content:
                if isinstance(part, File):
                    yield v1.DownloadFileResponse(file=file_message(part))
                else:
                    yield v1.DownloadFileResponse(data=part)
