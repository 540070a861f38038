"""The door of retrieval: prepare files, search vector stores, read what was prepared, throw away what nobody needs."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from localassist.retrieval.analyze import has_words
from localassist.retrieval.content import ContentKey, ContentStore, read_document, read_pages
from localassist.retrieval.embed import unit_rows
from localassist.retrieval.filters import Filter
from localassist.retrieval.index import StoreIndex, content_reader, refresh
from localassist.retrieval.ingest import IngestLimits, Ingestor, ProgressCallback
from localassist.retrieval.lexical import Scores
from localassist.retrieval.model import (
    ChunkingStrategy,
    Document,
    DocumentParser,
    Embedder,
    Hit,
    IngestReport,
    RankingOptions,
    StoreFiles,
    Vectors,
)
from localassist.retrieval.rerank import Reranker
from localassist.retrieval.search import CodeCache, Located, Pool, Query, Ranked
from localassist.retrieval.segment import DamagedContentError
from localassist.retrieval.select import OVERLAP_PENALTY, choose

logger = logging.getLogger(__name__)

MAX_QUERY_CHARACTERS: Final = 4096
"""Of a longer query, the beginning counts; the embedder reads less than this anyway."""

_SPARE: Final = 10
"""So many more chunks are chosen than asked for, in case the texts of some have just been removed."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What stays in memory: the indexes of the stores searched last, and of their files' sub-windows some bytes."""

    max_open_stores: int = 16
    max_code_bytes: int = 256 << 20


class Retriever:
    """Prepared content of files and searches over it. Every method blocks, and any number of threads may call any."""

    def __init__(
        self,
        root: Path,
        *,
        parser: DocumentParser,
        embedder: Embedder,
        reranker: Reranker | None = None,
        parser_version: str = "1",
        limits: IngestLimits | None = None,
        memory: MemoryLimits | None = None,
    ) -> None:
        """Keep everything under `root`; `parser_version` changes when the parser gives other texts for a file."""
        memory = memory or MemoryLimits()
        self._content = ContentStore(root)
        self._ingestor = Ingestor(
            self._content, parser=parser, parser_version=parser_version, embedder=embedder, limits=limits
        )
        self._embedder = embedder
        self._reranker = reranker
        self._codes = CodeCache(self._content, max_bytes=memory.max_code_bytes)
        self._read = content_reader(self._content, embedder_name=embedder.name)
        self._max_open_stores = memory.max_open_stores
        self._indexes: OrderedDict[str, StoreIndex] = OrderedDict()
        self._refreshing: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def prepare(
        self,
        path: Path,
        *,
        file_name: str,
        content_hash: str,
        chunking: ChunkingStrategy,
        progress: ProgressCallback | None = None,
    ) -> tuple[str, IngestReport]:
        """Parse, cut and embed a file, or find that it was done before; give its content key and what was counted.

        Commit the key within the age that `collect` is called with.

        Args:
            path: the file's bytes.
            file_name: its ending decides how the bytes are read.
            content_hash: the SHA-256 of the bytes, or any other name of them.
            chunking: how the text is cut.
            progress: called often; what it raises ends the work and nothing is kept.

        Raises:
            IngestionError: the file cannot be read, is too long, or its index cannot be written.
        """
        key, report = self._ingestor.prepare(
            path, file_name=file_name, content_hash=content_hash, chunking=chunking, progress=progress
        )
        self._forget_missing(str(key))
        return str(key), report

    def search(
        self,
        stores: Sequence[StoreFiles],
        queries: Sequence[str],
        *,
        limit: int,
        filters: Filter | None = None,
        score_threshold: float = 0.0,
        options: RankingOptions | None = None,
    ) -> list[Hit]:
        """Give the chunks that answer the queries best, best first; scores never increase.

        Several queries are ranked together: a chunk has the score of the query that it answers best. Several stores are
        searched as if they were one. A score is the confidence of its query (how much of its words and how much of its
        meaning the best chunk holds, 0..1) times how close the chunk comes to the best, less 0.15 of it for each better
        chunk that it overlaps: so a threshold means about the same for every query of one embedder.

        Args:
            stores: each once.
            queries: without a letter or digit they find nothing, which is no error.
            limit: how many at most.
            filters: only files with such attributes.
            score_threshold: 0..1; chunks below are left out.
            options: how to rank.
        """
        asked = [text[:MAX_QUERY_CHARACTERS] for text in dict.fromkeys(queries)]
        asked = [text for text in asked if has_words(text)]
        if not asked or limit < 1:
            return []
        pool = Pool([self._index(store) for store in stores], self._codes, condition=filters)
        if not pool.n_allowed:
            return []
        vectors, languages = self._embedder.embed_query(asked), self._embedder.languages
        ranked = [
            self._rank(pool, Query(text, vector, languages), limit=limit + _SPARE, options=options or RankingOptions())
            for text, vector in zip(asked, vectors, strict=True)
        ]
        hits = self._hits(pool, ranked, limit=limit)
        return [hit for hit in hits if hit.score >= score_threshold]

    def chunks(self, content_key: str) -> list[str]:
        """Give the texts of all chunks of a prepared file, in reading order.

        Raises:
            DamagedContentError: it is missing or damaged.
        """
        key = ContentKey.parse(content_key)
        spans = self._content.open(key.chunks_name).array("bytes").tolist()
        text = self._content.open(key.text_name).array("text").tobytes()
        return [text[start:end].decode("utf-8") for start, end in spans]

    def text(self, content_key: str) -> Document:
        """Give the text of a prepared file, its pages and its headings.

        Raises:
            DamagedContentError: it is missing or damaged.
        """
        return read_document(self._content.open(ContentKey.parse(content_key).text_name))

    def damage(self, content_key: str) -> str | None:
        """Say what is wrong with prepared content after reading all of it; None if nothing is. `prepare` mends it."""
        for name in ContentKey.parse(content_key).names:
            try:
                self._content.open(name).verify()
            except DamagedContentError as error:
                return str(error)
        return None

    def missing(self, store: StoreFiles) -> Mapping[str, str]:
        """Give the content keys of the files of a store that cannot be searched, and why."""
        return dict(self._index(store).missing)

    def collect(self, live_keys: Set[str], *, older_than_s: float) -> int:
        """Remove from disk what no live content key names, but nothing younger; give the number of files removed.

        Take `live_keys` from the database first; `older_than_s` must be longer than the time between the end of
        `prepare` and the commit of its key.
        """
        return self._content.collect(live_keys, older_than_s=older_than_s)

    def forget(self, store_id: str) -> None:
        """Let go of the index of a store that was deleted."""
        with self._guard:
            self._indexes.pop(store_id, None)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Give a vector of length 1 for each text; of one longer than the model reads, the mean of its windows."""
        vectors = [self._embed_one(text) for text in texts]
        return np.stack(vectors) if vectors else np.empty((0, self._embedder.dim), np.float32)

    def _embed_one(self, text: str) -> Vectors:
        if self._embedder.reads_whole(text):
            whole: Vectors = self._embedder.embed_query([text])[0]
            return whole
        mean: Vectors = unit_rows(self._embedder.embed_text(text).window_vectors.mean(axis=0, keepdims=True))[0]
        return mean

    def warm(self) -> None:
        """Embed something, so that the first search need not wait for the model to be loaded."""
        self._embedder.embed_query(["warm"])

    def close(self) -> None:
        """Let go of all indexes and mapped files."""
        with self._guard:
            self._indexes.clear()
        self._codes.clear()
        self._content.close()

    def _index(self, store: StoreFiles) -> StoreIndex:
        index = self._known(store)
        if index is not None:
            return index
        with self._guard:
            lock = self._refreshing.setdefault(store.store_id, threading.Lock())
        with lock:
            index = self._known(store)
            if index is None:
                with self._guard:
                    earlier = self._indexes.get(store.store_id)
                index = refresh(earlier, store, read=self._read)
                for _, reason in index.missing:
                    logger.error(
                        "A file cannot be searched",
                        extra={"action": "content_missing", "vector_store_id": store.store_id, "reason": reason},
                    )
                self._remember(index)
        return index

    def _known(self, store: StoreFiles) -> StoreIndex | None:
        with self._guard:
            index = self._indexes.get(store.store_id)
            if index is None or index.version != store.version:
                return None
            self._indexes.move_to_end(store.store_id)
            return index

    def _remember(self, index: StoreIndex) -> None:
        with self._guard:
            self._indexes[index.store_id] = index
            self._indexes.move_to_end(index.store_id)
            while len(self._indexes) > self._max_open_stores:
                store_id, _ = self._indexes.popitem(last=False)
                self._refreshing.pop(store_id, None)

    def _forget_missing(self, key: str) -> None:
        """Read the stores anew that lacked content which is there again."""
        with self._guard:
            for store_id, index in list(self._indexes.items()):
                if any(missing == key for missing, _ in index.missing):
                    del self._indexes[store_id]

    def _rank(self, pool: Pool, query: Query, *, limit: int, options: RankingOptions) -> Ranked:
        ranked = pool.rank(query, limit=limit, options=options)
        if self._reranker is None or not options.rerank:
            return ranked
        depth = min(self._reranker.depth, len(ranked.rows))
        passages = [self._passage(pool.locate(row)) for row in ranked.rows[:depth].tolist()]
        scores = np.clip(self._reranker.rerank(query.text, passages, ranked.scores[:depth]), 0.0, 1.0)
        # What was not read comes behind what was.
        scores = np.concatenate([scores, np.minimum(ranked.scores[depth:], scores.min(initial=1.0))])
        order = pool.order(ranked.rows, scores)
        return Ranked(ranked.rows[order], scores[order], ranked.confidence)

    def _hits(self, pool: Pool, ranked: Sequence[Ranked], *, limit: int) -> list[Hit]:
        rows = np.unique(np.concatenate([one.rows for one in ranked]))
        scores: Scores = np.zeros(len(rows))
        for one in ranked:
            np.maximum.at(scores, np.searchsorted(rows, one.rows), one.scores)
        order = pool.order(rows, scores)
        rows = rows[order]
        penalty = OVERLAP_PENALTY * max(one.confidence for one in ranked)
        chosen = choose(scores[order], pool.places(rows), limit=limit + _SPARE, penalty=penalty)
        hits: list[Hit] = []
        for i, score in chosen:
            hit = self._hit(pool.locate(int(rows[i])), score=min(max(score, 0.0), 1.0)) if len(hits) < limit else None
            if hit is not None:
                hits.append(hit)
        return hits

    def _text(self, located: Located) -> str:
        start, end = located.byte_span
        text = self._content.open(located.key.text_name).array("text")
        return text[start:end].tobytes().decode("utf-8")

    def _hit(self, located: Located, *, score: float) -> Hit | None:
        """Give a chunk with its text; None if that is gone, because its file was removed while the search ran."""
        start, end = located.span
        try:
            text = self._text(located)
            pages = read_pages(self._content.open(located.key.text_name), start=start, end=end)
        except DamagedContentError as error:
            logger.warning("A passage is gone", extra={"action": "content_missing", "reason": str(error)})
            return None
        return Hit(
            store_id=located.store_id,
            file_id=located.file.file_id,
            file_name=located.file.file_name,
            attributes=located.file.attributes,
            text=text,
            start=start,
            end=end,
            score=score,
            pages=pages,
        )

    def _passage(self, located: Located) -> str:
        try:
            return self._text(located)
        except DamagedContentError:  # the hit will be left out
            return ""
