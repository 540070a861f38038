"""How long a search takes beside embedding the query, and how an index opens, grows and shrinks.

    python -m benchmarks.retrieval_speed --chunks 5000

Text is drawn word by word from a Zipf distribution and embedded by hashing, into vectors as long as MiniLM's, so the
figures say nothing of quality. Query vectors are computed beforehand. Processor time of the whole process: set
OPENBLAS_NUM_THREADS=1, or waiting threads are counted too.
"""

import argparse
import hashlib
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

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


def row(name: str, milliseconds: Sequence[float]) -> None:
    """Print a line of the table."""
    p50, p95 = np.quantile(milliseconds, [0.5, 0.95])
    print(f"{name:44} {p50:9.2f} ms p50 {p95:9.2f} ms p95   n = {len(milliseconds)}")


def main() -> None:
    """Prepare files, then measure."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--chunks", type=int, default=5000)
    arguments.add_argument("--home", type=Path, help="folder that keeps what was prepared for another run")
    chosen = arguments.parse_args()
    n_files = max(2, chosen.chunks // N_CHUNKS_A_FILE)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.home or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        embedder = RememberedQueries(hashing_embedder(384))
        retriever = Retriever(folder, parser=TextParser(), embedder=embedder)
        files = [prepared(retriever, folder, i, words(rng, N_CHUNKS_A_FILE * WORDS_A_CHUNK)) for i in range(n_files)]
        queries = [words(rng, 10) for _ in range(N_QUERIES)]
        embedder.embed_query(queries)
        measure(retriever, files, queries)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def prepared(retriever: Retriever, folder: Path, number: int, text: str) -> IndexedFile:
    """Prepare one file."""
    path = folder / "document"
    path.write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    key, _ = retriever.prepare(path, file_name="document.txt", content_hash=digest, chunking=ChunkingStrategy())
    return IndexedFile(f"file-{number}", f"{number}.txt", key, {"number": number})


def measure(retriever: Retriever, files: Sequence[IndexedFile], queries: Sequence[str]) -> None:
    """Time the opening of a store, searches, and a search after a file came or went."""
    n_chunks = sum(len(retriever.chunks(file.content_key)) for file in files)
    print(f"{len(files)} files, {n_chunks} chunks, {len(queries)} queries of about 10 words")

    def search(query: str, version: int, n: int, limit: int = 20) -> Callable[[], object]:
        store = StoreFiles("vs", version, lambda: files[:n])
        return lambda: retriever.search([store], [query], limit=limit)

    opened = []
    for _ in range(5):
        retriever.close()
        opened.append(timed(search(queries[0], 0, len(files))))
    row("open a store and search it", opened)
    row("search, 20 results", [timed(search(query, 0, len(files))) for query in queries])
    row("search, 5 results", [timed(search(query, 0, len(files), limit=5)) for query in queries])
    row("search after a file was removed", [timed(search(queries[0], 1 + i, len(files) - i % 2)) for i in range(20)])
    row("search while a file is masked", [timed(search(query, 20, len(files) - 1)) for query in queries])


if __name__ == "__main__":
    main()
