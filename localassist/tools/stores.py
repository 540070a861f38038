"""Searches in the vector stores that the database knows."""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from localassist import clock
from localassist.retrieval.filters import parse_filter
from localassist.retrieval.model import Hit, IndexedFile, RankingOptions, StoreFiles
from localassist.store import assistants as assistant_rows
from localassist.store import threads as thread_rows
from localassist.store import vector_stores as store_rows
from localassist.store.database import Connection, Database
from localassist.tools.base import ToolUnusableError
from localassist.types.run import Run

_WAIT_S = 60.0
"""Source: reference, "File search": a run waits up to 60 s for the thread's vector store, not for the assistant's."""
_WAIT_FOR_ASSISTANT_S = 10.0
"""For the assistant's store the hosted service did not wait, but its models took seconds until they searched: recorded
programs that make an assistant with new files and run it at once found them. A local model may search at once."""
_LOOK_AGAIN_S = 0.1


class Retrieves(Protocol):
    """What is asked of `retrieval.retriever.Retriever`."""

    def search(
        self,
        stores: Sequence[StoreFiles],
        queries: Sequence[str],
        *,
        limit: int,
        filters: Any = None,
        score_threshold: float = 0.0,
        options: RankingOptions | None = None,
    ) -> Sequence[Hit]:
        """Give the best passages, best first; blocking."""
        ...


class StoreSearcher:
    """Searches vector stores by id, or those of a run. Searching happens in a thread."""

    def __init__(self, db: Database, retriever: Callable[[], Retrieves]) -> None:
        self._db = db
        self._retriever = retriever

    async def __call__(self, run: Run, queries: Sequence[str], *, limit: int, score_threshold: float) -> Sequence[Hit]:
        """Search the stores of the run's assistant and of its thread, ranked together.

        Waits for files that are being added: up to 60 seconds for the thread's, until 10 seconds after the run was
        created for the assistant's, and for `file_ids` of the assistant as long as the run may take: programs of API
        version 1 cannot see how far their indexing is. Files that are added meanwhile are not waited for.

        Raises:
            ToolUnusableError: one of the stores has expired.
        """
        of_assistant, of_thread, listed = await self._db.read(lambda conn: _stores_of(conn, run))
        await self._wait_for(of_thread, until=clock.now() + _WAIT_S)
        await self._wait_for(listed, until=run.expires_at or clock.now() + _WAIT_S)
        others = [i for i in of_assistant if i not in listed]
        await self._wait_for(others, until=run.created_at + _WAIT_FOR_ASSISTANT_S)
        ids = list(dict.fromkeys([*of_assistant, *of_thread]))
        stores = await self._db.read(lambda conn: [store_rows.get(conn, i) for i in ids])
        expired = [store.id for store in stores if store is not None and store.status == "expired"]
        if expired:
            raise ToolUnusableError(f"Vector store {expired[0]} has expired. Give the thread or assistant a new one.")
        return await self.search(ids, queries, limit=limit, score_threshold=score_threshold)

    async def search(
        self,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        filters: Mapping[str, Any] | None = None,
        score_threshold: float = 0.0,
        options: RankingOptions | None = None,
    ) -> Sequence[Hit]:
        """Search stores, ranked together; stores that are gone are passed over.

        Raises:
            BadRequestError: the filters are malformed.
        """
        condition = None if filters is None else parse_filter(filters)
        loop = asyncio.get_running_loop()
        versions = await self._db.read(lambda conn: [(i, store_rows.index_version(conn, i)) for i in store_ids])
        stores = [StoreFiles(i, version, self._loader(loop, i)) for i, version in versions if version is not None]
        if not stores:
            return []
        return await asyncio.to_thread(
            lambda: self._retriever().search(
                stores, queries, limit=limit, filters=condition, score_threshold=score_threshold, options=options
            )
        )

    def _loader(self, loop: asyncio.AbstractEventLoop, store_id: str) -> Callable[[], Sequence[IndexedFile]]:
        def load() -> Sequence[IndexedFile]:
            reading = self._db.read(lambda conn: store_rows.indexed_files(conn, store_id))
            rows = asyncio.run_coroutine_threadsafe(reading, loop).result()
            return [IndexedFile(r.file_id, r.filename, r.content_key, r.attributes) for r in rows]

        return load

    async def _wait_for(self, store_ids: Sequence[str], *, until: float) -> None:
        if not store_ids:
            return
        waiting = functools.partial(store_rows.newest_waiting, store_ids=store_ids)
        newest = await self._db.read(waiting)
        while newest is not None and clock.now() < until:
            await asyncio.sleep(_LOOK_AGAIN_S)
            newest = await self._db.read(functools.partial(waiting, upto=newest))


def _stores_of(conn: Connection, run: Run) -> tuple[list[str], list[str], list[str]]:
    """Give the stores of the assistant (or the run's own), of the thread, and those of them that hold `file_ids`."""
    assistant = assistant_rows.get(conn, run.assistant_id)
    thread = thread_rows.get(conn, run.thread_id)
    found = []
    for holder in (run if run.tool_resources.file_search is not None else assistant, thread):
        resources = holder.tool_resources.file_search if holder is not None else None
        found.append(list(resources.vector_store_ids) if resources is not None else [])
    return found[0], found[1], [i for i in found[0] if store_rows.assistant_of(conn, i)]
