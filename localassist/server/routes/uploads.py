"""Uploads: files sent in parts."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.server.decode import body_of, path_of
from localassist.server.encode import answer
from localassist.server.multipart import upload_of
from localassist.types.upload import MAX_PART_BYTES, UploadCompleteParams, UploadCreateParams
from localassist.wiring import Engine


def routes(engine: Engine, *, spool_folder: Path) -> list[Route]:
    """Give the routes; parts on their way lie in `spool_folder`."""
    uploads = _Uploads(engine, spool_folder)
    return [
        Route("/uploads", uploads.create, methods=["POST"]),
        Route("/uploads/{upload_id}/parts", uploads.add_part, methods=["POST"]),
        Route("/uploads/{upload_id}/complete", uploads.complete, methods=["POST"]),
        Route("/uploads/{upload_id}/cancel", uploads.cancel, methods=["POST"]),
    ]


class _Uploads:
    def __init__(self, engine: Engine, spool_folder: Path) -> None:
        self._engine = engine
        self._spool_folder = spool_folder

    async def create(self, request: Request) -> Response:
        params = await body_of(request, UploadCreateParams)
        return answer((await self._engine.uploads.create(params)).shown())

    async def add_part(self, request: Request) -> Response:
        async with upload_of(request, folder=self._spool_folder, max_bytes=MAX_PART_BYTES, name="data") as form:
            part = await self._engine.uploads.add_part(path_of(request, "upload_id"), form.chunks())
        return answer(part)

    async def complete(self, request: Request) -> Response:
        params = await body_of(request, UploadCompleteParams)
        return answer((await self._engine.uploads.complete(path_of(request, "upload_id"), params)).shown())

    async def cancel(self, request: Request) -> Response:
        return answer((await self._engine.uploads.cancel(path_of(request, "upload_id"))).shown())
