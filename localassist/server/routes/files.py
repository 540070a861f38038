"""Files."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from localassist.errors import BadRequestError
from localassist.server.decode import page_of, parse, path_of, text_of
from localassist.server.encode import answer
from localassist.server.multipart import upload_of
from localassist.types.file import FileExpiresAfter
from localassist.wiring import Engine

_MAX_LIMIT = 10_000
"""Source: published OpenAPI document, `GET /files`: 1 to 10,000, and 10,000 when not given."""


def routes(engine: Engine, *, spool_folder: Path, max_file_bytes: int) -> list[Route]:
    """Give the routes; uploads on their way lie in `spool_folder`."""
    files = _Files(engine, spool_folder, max_file_bytes)
    return [
        Route("/files", files.create, methods=["POST"]),
        Route("/files", files.list, methods=["GET"]),
        Route("/files/{file_id}", files.retrieve, methods=["GET"]),
        Route("/files/{file_id}", files.delete, methods=["DELETE"]),
        Route("/files/{file_id}/content", files.content, methods=["GET"]),
    ]


class _Files:
    def __init__(self, engine: Engine, spool_folder: Path, max_file_bytes: int) -> None:
        self._engine = engine
        self._spool_folder = spool_folder
        self._max_file_bytes = max_file_bytes

    async def create(self, request: Request) -> Response:
        async with upload_of(request, folder=self._spool_folder, max_bytes=self._max_file_bytes) as form:
            purpose = form.fields.get("purpose")
            if purpose is None:
                raise BadRequestError(
                    "Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter"
                )
            file = await self._engine.files.create(
                form.file_name or "upload", purpose, form.chunks(), expires_after=_expires_after(form.fields)
            )
        return answer(file)

    async def list(self, request: Request) -> Response:
        page = page_of(request, max_limit=_MAX_LIMIT, default_limit=_MAX_LIMIT)
        return answer(await self._engine.files.list(page, text_of(request, "purpose")))

    async def retrieve(self, request: Request) -> Response:
        return answer(await self._engine.files.retrieve(path_of(request, "file_id")))

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.files.delete(path_of(request, "file_id")))

    async def content(self, request: Request) -> Response:
        file, chunks = await self._engine.files.content(path_of(request, "file_id"))
        headers = {
            "content-length": str(file.bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        }
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


def _expires_after(fields: Mapping[str, str]) -> FileExpiresAfter | None:
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor is None or seconds is None:
        absent = "anchor" if anchor is None else "seconds"
        name = f"expires_after[{absent}]"
        raise BadRequestError(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) <= 12):
        raise BadRequestError(
            "Invalid type for 'expires_after[seconds]': expected an integer, but got a string instead.",
            param="expires_after[seconds]",
            code="invalid_type",
        )
    return parse(orjson.dumps({"anchor": anchor, "seconds": int(seconds)}), FileExpiresAfter)
