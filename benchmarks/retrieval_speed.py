"""How long a search takes beside embedding the query, and how an index opens, grows and shrinks.

    python -m benchmarks.run retrieval_speed --chunks 5000

Text is drawn word by word from a Zipf distribution and embedded by hashing, into vectors as long as MiniLM's, so the
figures say nothing of quality. Query vectors are computed beforehand. Processor time of the whole process: set
OPENBLAS_NUM_THREADS=1, or waiting threads are counted too.
"""

import argparse
import hashlib
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measurement import Measurement, Row, row, single
from localassist.retrieval.embed import WindowEmbedder
from localassist.retrieval.embedders.hashing import hashing_embedder
from localassist.retrieval.model import (
    ChunkingStrategy,
    Document,
    EmbeddedText,
    IndexedFile,
    StoreFiles,
    TokenProgress,
    Vectors,
)
from localassist.retrieval.retriever import Retriever

N_CHUNKS_A_FILE = 20
WORDS_A_CHUNK = 150
"""About 400 tokens: what a chunk of 800 with an overlap of 400 adds to the one before."""
N_QUERIES = 200


class RememberedQueries:
    """An embedder that knows the vectors of the queries beforehand."""

    def __init__(self, inner: WindowEmbedder) -> None:
        self._inner = inner
        self.name, self.dim, self.languages = inner.name, inner.dim, inner.languages
        self._known: dict[str, Vectors] = {}

    def embed_query(self, queries: Sequence[str]) -> Vectors:
        """Give the vectors, computed once."""
        for query in queries:
            if query not in self._known:
                self._known[query] = self._inner.embed_query([query])[0]
        return np.stack([self._known[query] for query in queries])

    def reads_whole(self, query: str) -> bool:
        """Tell whether a query is read whole."""
        return self._inner.reads_whole(query)

    def embed_text(self, text: str, *, progress: TokenProgress | None = None) -> EmbeddedText:
        """Embed a text."""
        return self._inner.embed_text(text, progress=progress)


class TextParser:
    """Gives the text of a file as it is."""

    def parse(self, path: Path, *, file_name: str) -> Document:
        """Read UTF-8."""
        del file_name
        return Document(text=path.read_text(encoding="utf-8"))


def words(rng: np.random.Generator, n: int) -> str:
    """Draw words; the vocabulary has 60,000, and the most frequent hundred are left to the stop words."""
    return " ".join(f"w{rank}" for rank in rng.zipf(1.15, 4 * n) if 100 < rank < 60_000)[: 6 * n]


def timed(work: Callable[[], object]) -> float:
    """Give the milliseconds of processor time that a piece of work takes."""
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--chunks", type=int, default=5000)
    parser.add_argument("--home", type=Path, help="folder that keeps what was prepared for another run")


def measure(options: argparse.Namespace) -> Measurement:
    """Prepare files, then measure."""
    n_files = max(2, options.chunks // N_CHUNKS_A_FILE)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.home or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        embedder = RememberedQueries(hashing_embedder(384))
        retriever = Retriever(folder, parser=TextParser(), embedder=embedder)
        files = [prepared(retriever, folder, i, words(rng, N_CHUNKS_A_FILE * WORDS_A_CHUNK)) for i in range(n_files)]
        queries = [words(rng, 10) for _ in range(N_QUERIES)]
        embedder.embed_query(queries)
        rows = searches(retriever, files, queries)
        n_chunks = sum(len(retriever.chunks(file.content_key)) for file in files)
    return Measurement(
        name="retrieval_speed",
        title="Searches",
        method=" ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        caveats=[
            f"{len(files)} files, {n_chunks} chunks, {len(queries)} queries of about 10 words, embedded beforehand.",
            "Without OPENBLAS_NUM_THREADS=1 the time of waiting threads counts too.",
        ],
        rows=rows,
        repeat="OPENBLAS_NUM_THREADS=1 python -m benchmarks.run retrieval_speed",
    )


def prepared(retriever: Retriever, folder: Path, number: int, text: str) -> IndexedFile:
    """Prepare one file."""
    path = folder / "document"
    path.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    key, _ = retriever.prepare(path, file_name="document.txt", content_hash=digest, chunking=ChunkingStrategy())
    return IndexedFile(f"file-{number}", f"{number}.txt", key, {"number": number})


def searches(retriever: Retriever, files: Sequence[IndexedFile], queries: Sequence[str]) -> list[Row]:
    """Time the opening of a store, searches, and a search after a file came or went."""

    def search(query: str, version: int, n: int, limit: int = 20) -> Callable[[], object]:
        store = StoreFiles("vs", version, lambda: files[:n])
        return lambda: retriever.search([store], [query], limit=limit)

    opened = []
    for _ in range(5):
        retriever.close()
        opened.append(timed(search(queries[0], 0, len(files))))
    n, ms = len(files), "CPU-ms"
    return [
        row("open a store and search it", opened, ms),
        row("search, 20 results", [timed(search(query, 0, n)) for query in queries], ms),
        row("search, 5 results", [timed(search(query, 0, n, limit=5)) for query in queries], ms),
        row("search after a file was removed", [timed(search(queries[0], 1 + i, n - i % 2)) for i in range(20)], ms),
        row("search while a file is masked", [timed(search(query, 20, n - 1)) for query in queries], ms),
        single("most memory of the process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB"),
    ]
