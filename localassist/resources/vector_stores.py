"""Vector stores: the stores, their files and batches, searches in them."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from localassist import clock
from localassist.errors import BadRequestError, InternalServerError, NotFoundError
from localassist.ids import new_id
from localassist.resources import found, indexing
from localassist.resources.ingestion import Ingestion, Prepares, ProgressHook
from localassist.retrieval.model import RankingOptions
from localassist.retrieval.segment import DamagedContentError
from localassist.store import vector_stores as rows
from localassist.store.blobs import Blobs
from localassist.store.database import Connection, Database
from localassist.store.jobs import IngestJob
from localassist.store.pages import PageQuery
from localassist.tools.stores import StoreSearcher
from localassist.types.common import Deleted, ListPage
from localassist.types.vector_store import (
    FileBatchCreateParams,
    FileContentPage,
    SearchRankingOptions,
    TextContent,
    VectorStore,
    VectorStoreCreateParams,
    VectorStoreFile,
    VectorStoreFileBatch,
    VectorStoreFileCreateParams,
    VectorStoreFileStatus,
    VectorStoreFileUpdateParams,
    VectorStoreSearchPage,
    VectorStoreSearchParams,
    VectorStoreSearchResult,
    VectorStoreUpdateParams,
)

T = TypeVar("T")


class Prepared(Prepares, Protocol):
    """What is asked of `retrieval.retriever.Retriever`."""

    def chunks(self, content_key: str) -> list[str]:
        """Give the texts of the chunks of a prepared file; blocking."""
        ...

    def forget(self, store_id: str) -> None:
        """Let go of the index of a store that was deleted."""
        ...


class VectorStores:
    """What can be done with vector stores, their files and batches. A file's id in a store is the file's own."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: Blobs,
        retriever: Prepared,
        searcher: StoreSearcher,
        wake_ingest: Callable[[], None],
        lease_s: float,
        progress: ProgressHook | None = None,
    ) -> None:
        self._db = db
        self._retriever = retriever
        self._searcher = searcher
        self._wake_ingest = wake_ingest
        self._ingestion = Ingestion(db=db, blobs=blobs, retriever=retriever, lease_s=lease_s, progress=progress)

    # --- stores ---

    async def create(self, params: VectorStoreCreateParams) -> VectorStore:
        """Make a store, and queue its first files.

        Raises:
            NotFoundError: a file does not exist.
            BadRequestError: a file cannot be indexed.
        """
        store = indexing.new_store(
            name=params.name,
            description=params.description,
            expires_after=params.expires_after,
            metadata=params.metadata,
        )

        def write(conn: Connection) -> VectorStore:
            rows.insert(conn, store)
            files = indexing.entries(params.file_ids or (), chunking=params.chunking_strategy)
            indexing.add_files(conn, store.id, files)
            return found.store(conn, store.id)

        return await self._queued(write)

    async def retrieve(self, store_id: str) -> VectorStore:
        """Read a store.

        Raises:
            NotFoundError: there is none.
        """
        return await self._db.read(lambda conn: found.store(conn, store_id))

    async def update(self, store_id: str, params: VectorStoreUpdateParams) -> VectorStore:
        """Change what the request names; null empties it. A new expiry counts from the last use.

        Raises:
            NotFoundError: there is no such store.
        """

        def write(conn: Connection) -> VectorStore:
            store = found.store(conn, store_id)
            changes: dict[str, Any] = {}
            if "name" in params.model_fields_set:
                changes["name"] = params.name
            if "metadata" in params.model_fields_set:
                changes["metadata"] = params.metadata or {}
            if "expires_after" in params.model_fields_set:
                changes["expires_after"] = params.expires_after
                changes["expires_at"] = indexing.expiry(params.expires_after, last_active_at=store.last_active_at)
            rows.replace(conn, store.model_copy(update=changes))
            return found.store(conn, store_id)

        return await self._db.write(write)

    async def list(self, q: PageQuery) -> ListPage[VectorStore]:
        """Read a page of all stores."""
        return await self._db.read(lambda conn: rows.list_page(conn, q))

    async def delete(self, store_id: str) -> Deleted:
        """Delete a store; its files stay.

        Raises:
            NotFoundError: there is none.
        """
        if not await self._db.write(lambda conn: rows.delete(conn, store_id)):
            raise NotFoundError("vector store", store_id)
        await asyncio.to_thread(self._retriever.forget, store_id)
        return Deleted(id=store_id, object="vector_store.deleted")

    async def search(self, store_id: str, params: VectorStoreSearchParams) -> VectorStoreSearchPage:
        """Give the passages of a store that answer best. The queries are taken as they are, not rewritten.

        Raises:
            NotFoundError: there is no such store.
            BadRequestError: the store has expired, or the filters or weights cannot be used.
        """
        queries = [params.query] if isinstance(params.query, str) else params.query
        ranking = params.ranking_options or SearchRankingOptions()
        options = _ranking(ranking)
        await self._db.write(lambda conn: _use(conn, store_id))
        hits = await self._searcher.search(
            [store_id],
            queries,
            limit=params.max_num_results,
            filters=params.filters,
            score_threshold=ranking.score_threshold,
            options=options,
        )
        results = [
            VectorStoreSearchResult(
                file_id=hit.file_id,
                filename=hit.file_name,
                score=hit.score,
                attributes=dict(hit.attributes),
                content=[TextContent(text=hit.text)],
                page=hit.pages[0].number if hit.pages else None,
                start_index=hit.start,
                end_index=hit.end,
            )
            for hit in hits
        ]
        return VectorStoreSearchPage(search_query=queries, data=results)

    # --- files of a store ---

    async def create_file(self, store_id: str, params: VectorStoreFileCreateParams) -> VectorStoreFile:
        """Queue a file to be indexed in a store; one that is there already is indexed anew.

        Raises:
            NotFoundError: there is no such store or file.
            BadRequestError: the store has expired, or the file cannot be indexed.
        """

        def write(conn: Connection) -> VectorStoreFile:
            found.live_store(conn, store_id)
            indexing.add_files(conn, store_id, [params], param="file_id")
            return found.store_file(conn, store_id, params.file_id)

        return await self._queued(write)

    async def retrieve_file(self, store_id: str, file_id: str) -> VectorStoreFile:
        """Read a file as it stands in a store.

        Raises:
            NotFoundError: there is no such store, or no such file in it.
        """
        return await self._db.read(lambda conn: found.store_file(conn, store_id, file_id))

    async def update_file(self, store_id: str, file_id: str, params: VectorStoreFileUpdateParams) -> VectorStoreFile:
        """Replace a file's attributes; null empties them.

        Raises:
            NotFoundError: there is no such store, or no such file in it.
        """

        def write(conn: Connection) -> VectorStoreFile:
            rows.replace_attributes(conn, store_id, file_id, params.attributes or {})
            return found.store_file(conn, store_id, file_id)

        return await self._db.write(write)

    async def list_files(
        self, store_id: str, q: PageQuery, status: VectorStoreFileStatus | None = None
    ) -> ListPage[VectorStoreFile]:
        """Read a page of a store's files, or of those with one status.

        Raises:
            NotFoundError: there is no such store.
        """

        def read(conn: Connection) -> ListPage[VectorStoreFile]:
            found.store(conn, store_id)
            return rows.list_files_page(conn, store_id, q, status=status)

        return await self._db.read(read)

    async def delete_file(self, store_id: str, file_id: str) -> Deleted:
        """Remove a file from a store; no later search finds it there, and the file itself stays.

        Raises:
            NotFoundError: there is no such store, or no such file in it.
        """

        def write(conn: Connection) -> None:
            found.store_file(conn, store_id, file_id)
            rows.delete_file(conn, store_id, file_id)

        await self._db.write(write)
        return Deleted(id=file_id, object="vector_store.file.deleted")

    async def file_content(self, store_id: str, file_id: str) -> FileContentPage:
        """Give the text of an indexed file as its chunks, in reading order.

        Raises:
            NotFoundError: there is no such store, or no such file in it.
            BadRequestError: the file is not indexed.
            InternalServerError: what was prepared of the file is damaged.
        """

        def read(conn: Connection) -> str:
            file = found.store_file(conn, store_id, file_id)
            key = rows.content_key(conn, store_id, file_id)
            if key is None:
                raise BadRequestError(
                    f"File {file_id} in vector store {store_id} has status '{file.status}'; "
                    "only a completed file has content."
                )
            return key

        key = await self._db.read(read)
        try:
            chunks = await asyncio.to_thread(self._retriever.chunks, key)
        except DamagedContentError as error:
            raise InternalServerError(f"{error} Add file {file_id} to the vector store again.") from error
        return FileContentPage(data=[TextContent(text=chunk) for chunk in chunks])

    # --- batches ---

    async def create_batch(self, store_id: str, params: FileBatchCreateParams) -> VectorStoreFileBatch:
        """Queue files to be indexed in a store, all or none.

        Raises:
            NotFoundError: there is no such store or file.
            BadRequestError: the store has expired, or a file cannot be indexed.
        """
        shared = indexing.entries(
            params.file_ids or (), attributes=params.attributes, chunking=params.chunking_strategy
        )
        files = params.files if params.files is not None else shared
        batch = VectorStoreFileBatch(id=new_id("vsfb"), created_at=clock.now_s(), vector_store_id=store_id)

        def write(conn: Connection) -> VectorStoreFileBatch:
            found.live_store(conn, store_id)
            rows.insert_batch(conn, batch)
            indexing.add_files(conn, store_id, files, batch_id=batch.id)
            return found.batch(conn, store_id, batch.id)

        return await self._queued(write)

    async def retrieve_batch(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """Read a batch.

        Raises:
            NotFoundError: there is no such store, or no such batch in it.
        """
        return await self._db.read(lambda conn: found.batch(conn, store_id, batch_id))

    async def cancel_batch(self, store_id: str, batch_id: str) -> VectorStoreFileBatch:
        """Cancel the files of a batch that nobody has begun; a batch that has ended stays as it is.

        Raises:
            NotFoundError: there is no such store, or no such batch in it.
        """

        def write(conn: Connection) -> VectorStoreFileBatch:
            if found.batch(conn, store_id, batch_id).status == "in_progress":
                rows.cancel_batch(conn, store_id, batch_id)
            return found.batch(conn, store_id, batch_id)

        return await self._db.write(write)

    async def list_batch_files(
        self, store_id: str, batch_id: str, q: PageQuery, status: VectorStoreFileStatus | None = None
    ) -> ListPage[VectorStoreFile]:
        """Read a page of a batch's files, or of those with one status.

        Raises:
            NotFoundError: there is no such store, or no such batch in it.
        """

        def read(conn: Connection) -> ListPage[VectorStoreFile]:
            found.batch(conn, store_id, batch_id)
            return rows.list_files_page(conn, store_id, q, status=status, batch_id=batch_id)

        return await self._db.read(read)

    # --- the work ---

    async def ingest(self, job: IngestJob) -> None:
        """Carry out a claimed ingestion job, keeping its lease meanwhile.

        Raises:
            LostLease: another worker has the file by now, or it was removed; nothing was written.
        """
        await self._ingestion.carry_out(job)

    async def _queued(self, write: Callable[[Connection], T]) -> T:
        written = await self._db.write(write)
        self._wake_ingest()
        return written


def _use(conn: Connection, store_id: str) -> None:
    found.live_store(conn, store_id)
    rows.touch(conn, store_id, clock.now_s())


def _ranking(ranking: SearchRankingOptions) -> RankingOptions:
    rerank, weights = ranking.ranker != "none", ranking.hybrid_search
    if weights is None:
        return RankingOptions(rerank=rerank)
    if not weights.embedding_weight + weights.text_weight > 0:
        raise BadRequestError(
            "Of 'embedding_weight' and 'text_weight' at least one must be above 0.",
            param="ranking_options.hybrid_search",
        )
    return RankingOptions(rerank=rerank, embedding_weight=weights.embedding_weight, text_weight=weights.text_weight)
