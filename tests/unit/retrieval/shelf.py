"""A retriever over a folder, and vector stores that tests fill and empty: what the database is to the product."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from localassist.retrieval.embed import WindowEmbedder, WindowPlan
from localassist.retrieval.embedders.hashing import hashing_embedder
from localassist.retrieval.model import (
    AttributeValue,
    ChunkingStrategy,
    Document,
    IndexedFile,
    IngestReport,
    Page,
    StoreFiles,
)
from localassist.retrieval.retriever import Retriever

SMALL = ChunkingStrategy(max_chunk_size_tokens=12, chunk_overlap_tokens=6)


class PlainParser:
    """Reads UTF-8; a form feed ends a page. Counts what it was asked."""

    def __init__(self) -> None:
        self.n_parsed = 0

    def parse(self, path: Path, *, file_name: str) -> Document:
        self.n_parsed += 1
        text = path.read_bytes().decode("utf-8")
        pages, start = [], 0
        for number, part in enumerate(text.split("\f"), start=1):
            pages.append(Page(number, start, start + len(part)))
            start += len(part) + 1
        return Document(text=text, pages=pages, n_pages=len(pages))


def small_embedder(dim: int = 32) -> WindowEmbedder:
    return hashing_embedder(dim, plan=WindowPlan(8, 3, 4, 2))


class Shelf:
    """Vector stores under one folder."""

    def __init__(self, root: Path, **options) -> None:
        self.root = root
        self.parser = PlainParser()
        options.setdefault("embedder", small_embedder())
        self.retriever = Retriever(root / "index", parser=self.parser, **options)
        self._stores: dict[str, tuple[int, dict[str, IndexedFile]]] = {}
        self.n_loads = 0

    def prepare(
        self, text: str, *, name: str = "note.txt", chunking: ChunkingStrategy = SMALL
    ) -> tuple[str, IngestReport]:
        data = text.encode("utf-8")
        content_hash = hashlib.sha256(data).hexdigest()
        path = self.root / content_hash
        path.write_bytes(data)
        return self.retriever.prepare(path, file_name=name, content_hash=content_hash, chunking=chunking)

    def add(
        self,
        file_id: str,
        text: str,
        *,
        store: str = "vs_1",
        attributes: Mapping[str, AttributeValue] | None = None,
        chunking: ChunkingStrategy = SMALL,
    ) -> str:
        key, _ = self.prepare(text, chunking=chunking)
        self.put(IndexedFile(file_id, f"{file_id}.txt", key, attributes or {}), store=store)
        return key

    def put(self, file: IndexedFile, *, store: str = "vs_1") -> None:
        version, files = self._stores.get(store, (0, {}))
        self._stores[store] = version + 1, {**files, file.file_id: file}

    def remove(self, file_id: str, *, store: str = "vs_1") -> None:
        version, files = self._stores[store]
        self._stores[store] = version + 1, {name: file for name, file in files.items() if name != file_id}

    def store(self, store: str = "vs_1") -> StoreFiles:
        version, files = self._stores.get(store, (0, {}))

        def load() -> Sequence[IndexedFile]:
            self.n_loads += 1
            return list(files.values())

        return StoreFiles(store, version, load)

    def file(self, file_id: str, *, store: str = "vs_1") -> IndexedFile:
        return self._stores[store][1][file_id]

    def search(self, *queries: str, stores: Sequence[str] = ("vs_1",), limit: int = 10, **options):
        return self.retriever.search([self.store(name) for name in stores], queries, limit=limit, **options)

    def live_keys(self) -> set[str]:
        return {file.content_key for _, files in self._stores.values() for file in files.values()}

    def on_disk(self) -> set[str]:
        folder = self.root / "index" / "content"
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
