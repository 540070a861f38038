"""Vector stores, their files and batches, and searches in them."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from localassist.server.decode import body_of, page_of, path_of, status_filter_of
from localassist.server.encode import answer, poll_hint
from localassist.types.vector_store import (
    FileBatchCreateParams,
    VectorStoreCreateParams,
    VectorStoreFileCreateParams,
    VectorStoreFileUpdateParams,
    VectorStoreSearchParams,
    VectorStoreUpdateParams,
)
from localassist.wiring import Engine


def routes(engine: Engine) -> list[Route]:
    """Give the routes."""
    stores, files, batches = _Stores(engine), _Files(engine), _Batches(engine)
    store = "/vector_stores/{vector_store_id}"
    file, batch = f"{store}/files/{{file_id}}", f"{store}/file_batches/{{batch_id}}"
    return [
        Route("/vector_stores", stores.create, methods=["POST"]),
        Route("/vector_stores", stores.list, methods=["GET"]),
        Route(store, stores.retrieve, methods=["GET"]),
        Route(store, stores.update, methods=["POST"]),
        Route(store, stores.delete, methods=["DELETE"]),
        Route(f"{store}/search", stores.search, methods=["POST"]),
        Route(f"{store}/files", files.create, methods=["POST"]),
        Route(f"{store}/files", files.list, methods=["GET"]),
        Route(file, files.retrieve, methods=["GET"]),
        Route(file, files.update, methods=["POST"]),
        Route(file, files.delete, methods=["DELETE"]),
        Route(f"{file}/content", files.content, methods=["GET"]),
        Route(f"{store}/file_batches", batches.create, methods=["POST"]),
        Route(batch, batches.retrieve, methods=["GET"]),
        Route(f"{batch}/cancel", batches.cancel, methods=["POST"]),
        Route(f"{batch}/files", batches.list_files, methods=["GET"]),
    ]


class _Stores:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.create(await body_of(request, VectorStoreCreateParams)))

    async def list(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.list(page_of(request)))

    async def retrieve(self, request: Request) -> Response:
        store = await self._engine.vector_stores.retrieve(_store_id(request))
        return answer(store, headers=poll_hint(store.created_at, pending=store.status == "in_progress"))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, VectorStoreUpdateParams)
        return answer(await self._engine.vector_stores.update(_store_id(request), params))

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.delete(_store_id(request)))

    async def search(self, request: Request) -> Response:
        params = await body_of(request, VectorStoreSearchParams)
        return answer(await self._engine.vector_stores.search(_store_id(request), params))


class _Files:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, VectorStoreFileCreateParams)
        return answer(await self._engine.vector_stores.create_file(_store_id(request), params))

    async def list(self, request: Request) -> Response:
        page = await self._engine.vector_stores.list_files(
            _store_id(request), page_of(request), status=status_filter_of(request)
        )
        return answer(page)

    async def retrieve(self, request: Request) -> Response:
        file = await self._engine.vector_stores.retrieve_file(*_file_ids(request))
        return answer(file, headers=poll_hint(file.created_at, pending=file.status == "in_progress"))

    async def update(self, request: Request) -> Response:
        params = await body_of(request, VectorStoreFileUpdateParams)
        return answer(await self._engine.vector_stores.update_file(*_file_ids(request), params))

    async def delete(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.delete_file(*_file_ids(request)))

    async def content(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.file_content(*_file_ids(request)))


class _Batches:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, request: Request) -> Response:
        params = await body_of(request, FileBatchCreateParams)
        return answer(await self._engine.vector_stores.create_batch(_store_id(request), params))

    async def retrieve(self, request: Request) -> Response:
        batch = await self._engine.vector_stores.retrieve_batch(*_batch_ids(request))
        return answer(batch, headers=poll_hint(batch.created_at, pending=batch.status == "in_progress"))

    async def cancel(self, request: Request) -> Response:
        return answer(await self._engine.vector_stores.cancel_batch(*_batch_ids(request)))

    async def list_files(self, request: Request) -> Response:
        page = await self._engine.vector_stores.list_batch_files(
            *_batch_ids(request), page_of(request), status=status_filter_of(request)
        )
        return answer(page)


def _store_id(request: Request) -> str:
    return path_of(request, "vector_store_id")


def _file_ids(request: Request) -> tuple[str, str]:
    return _store_id(request), path_of(request, "file_id")


def _batch_ids(request: Request) -> tuple[str, str]:
    return _store_id(request), path_of(request, "batch_id")
