"""How well searches find the passage that answers: recall at k on public question sets, through the product's own door.

    python -m benchmarks.run retrieval --collections chroma covid50 cmrc --kept /tmp/bench

R@k is the share of the gold characters that the k best chunks cover together. Text and vectors stay under `--kept`, so
that another run with other rankings embeds nothing. Intervals: bootstrap over questions, 95 %.
"""

import argparse
import csv
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.corpus import DEFAULT_DATA
from benchmarks.measurement import Measurement, Row, row
from localassist.retrieval.catalogue import Catalogue
from localassist.retrieval.embed import WindowEmbedder
from localassist.retrieval.embedders.onnx import OnnxModel
from localassist.retrieval.model import (
    ChunkingStrategy,
    Document,
    Hit,
    IndexedFile,
    RankingOptions,
    StoreFiles,
)
from localassist.retrieval.rerank import TermCoverage
from localassist.retrieval.retriever import Retriever

KS = (1, 5, 20)
N_CMRC_QUESTIONS = 1145


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the characters of one document that answer it."""

    text: str
    document: str
    gold: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents by name, and questions about them."""

    documents: Mapping[str, str]
    questions: Sequence[Question]


class TextParser:
    """Gives the text of a file as it is: the collections are plain texts whose characters are counted."""

    def parse(self, path: Path, *, file_name: str) -> Document:
        """Read UTF-8, line ends and all."""
        del file_name
        return Document(text=path.read_bytes().decode("utf-8"))


def chroma(folder: Path) -> Collection:
    """Read the five corpora of Chroma's report and their 472 questions."""
    documents = {path.stem: path.read_bytes().decode("utf-8") for path in sorted((folder / "chroma").glob("*.md"))}
    with (folder / "chroma/questions_df.csv").open(encoding="utf-8", newline="") as file:
        questions = [
            Question(
                row["question"],
                row["corpus_id"],
                [(r["start_index"], r["end_index"]) for r in json.loads(row["references"])],
            )
            for row in csv.DictReader(file)
        ]
    return Collection(documents, questions)


def covid50(folder: Path) -> Collection:
    """Read 50 scientific articles, drawn once, and their questions."""
    articles = _squad(folder / "covidqa/200423_covidQA.json")
    names = sorted(articles.documents)
    random.Random(0).shuffle(names)
    kept = set(names[:50])
    return Collection(
        {name: articles.documents[name] for name in names[:50]}, [q for q in articles.questions if q.document in kept]
    )


def cmrc(folder: Path) -> Collection:
    """Read Chinese articles until they have 1,145 questions."""
    articles = _squad(folder / "cmrc2018/cmrc2018_dev.json")
    questions = articles.questions[:N_CMRC_QUESTIONS]
    kept = {question.document for question in questions}
    return Collection({name: text for name, text in articles.documents.items() if name in kept}, questions)


COLLECTIONS: Mapping[str, Callable[[Path], Collection]] = {"chroma": chroma, "covid50": covid50, "cmrc": cmrc}


def _squad(path: Path) -> Collection:
    documents: dict[str, str] = {}
    questions: list[Question] = []
    for number, article in enumerate(json.loads(path.read_text(encoding="utf-8"))["data"]):
        name, offset, contexts = f"{number:05}", 0, []
        for paragraph in article["paragraphs"]:
            contexts.append(paragraph["context"])
            for qa in paragraph["qas"]:
                answer = qa["answers"][0]
                start = offset + answer["answer_start"]
                questions.append(Question(qa["question"], name, [(start, start + len(answer["text"]))]))
            offset += len(paragraph["context"]) + 2
        documents[name] = "\n\n".join(contexts)
    return Collection(documents, questions)


def recall(hits: Sequence[Hit], question: Question) -> float:
    """Give the share of the gold characters that the hits cover."""
    gold = {i for start, end in question.gold for i in range(start, end)}
    covered = {i for hit in hits if hit.file_name == question.document for i in range(hit.start, hit.end)}
    return len(gold & covered) / len(gold) if gold else 1.0


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Give the mean and its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    return float(values.mean()), float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def indexed(retriever: Retriever, collection: Collection, *, chunking: ChunkingStrategy) -> Iterator[IndexedFile]:
    """Prepare the documents of a collection."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document.txt"
        for number, (name, text) in enumerate(collection.documents.items()):
            data = text.encode("utf-8")
            path.write_bytes(data)
            key, _ = retriever.prepare(
                path, file_name="document.txt", content_hash=hashlib.sha256(data).hexdigest(), chunking=chunking
            )
            if sys.stderr.isatty():
                print(f"\r{number + 1}/{len(collection.documents)} documents", end="", file=sys.stderr)
            yield IndexedFile(name, name, key, {})


def recalls(
    retriever: Retriever, store: StoreFiles, collection: Collection, options: RankingOptions, *, what: str
) -> list[Row]:
    """Search every question, and give recall at every k, with its interval, and the time of a question."""
    rows, seconds = [], []
    for question in collection.questions:
        started = time.perf_counter()
        hits = retriever.search([store], [question.text], limit=max(KS), options=options)
        seconds.append(time.perf_counter() - started)
        rows.append([recall(hits[:k], question) for k in KS])
    intervals = [interval(column) for column in np.array(rows).T]
    found = [
        Row(f"{what}, R@{k}", 100 * m, "%", 100 * low, 100 * high, len(rows))
        for k, (m, low, high) in zip(KS, intervals, strict=True)
    ]
    return [*found, row(f"{what}, a question, embedding included", [1000 * s for s in seconds], "ms")]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--collections", nargs="+", default=["chroma"], choices=sorted(COLLECTIONS))
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the question sets")
    parser.add_argument("--kept", type=Path, help="folder that keeps text and vectors for another run")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="a model of models/registry.toml")
    parser.add_argument("--size", type=int, default=800, help="tokens of a chunk")
    parser.add_argument("--overlap", type=int, default=400, help="tokens that neighbours share")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure the collections that the command line names."""
    if not options.data.is_dir():
        raise SystemExit(f"The question sets are not at {options.data}; name their folder with --data.")
    with tempfile.TemporaryDirectory() as temporary:
        rows = [r for name in options.collections for r in _collection(name, options, options.kept or Path(temporary))]
    return Measurement(
        name="retrieval",
        title="Quality of searches",
        method=" ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        caveats=[
            "The weights of the ranking were chosen with some of these questions in sight.",
            "Recall of characters with chunks of 800 tokens: other sizes of chunks are other scales.",
        ],
        rows=rows,
        repeat=f"python -m benchmarks.run retrieval --collections {' '.join(options.collections)}",
    )


def _collection(name: str, options: argparse.Namespace, home: Path) -> list[Row]:
    embedder = open_embedder(options.model)
    collection = COLLECTIONS[name](options.data)
    retriever = Retriever(home, parser=TextParser(), embedder=embedder)
    chunking = ChunkingStrategy(options.size, options.overlap)
    files = list(indexed(retriever, collection, chunking=chunking))
    store = StoreFiles(name, 1, partial(list, files))
    covering = Retriever(home, parser=TextParser(), embedder=embedder, reranker=TermCoverage())
    by_ranks = RankingOptions(text_weight=2.0, embedding_weight=1.0)
    return [
        *recalls(retriever, store, collection, RankingOptions(), what=f"{name}, convex"),
        *recalls(retriever, store, collection, by_ranks, what=f"{name}, reciprocal ranks 2:1"),
        *recalls(covering, store, collection, RankingOptions(), what=f"{name}, convex, coverage"),
    ]


def open_embedder(name: str) -> WindowEmbedder:
    """Open a local model of the catalogue."""
    model = Catalogue().open(name)
    return WindowEmbedder(OnnxModel(model.onnx_file, model.folder / "tokenizer.json"), model.recipe)
