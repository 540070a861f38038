"""Files to an index that can be searched: how fast beside sentence-transformers, and in how much memory.

Ours is everything that happens to a file: it is uploaded to `localassist serve`, parsed in a process of its own, cut
into chunks, embedded in windows, its terms are counted, and all is committed; the clock stops when the vector store
says that the last file is completed. sentence-transformers only embeds, at its defaults and with as many threads:
pieces as long as the model reads, so that it embeds every wordpiece once; the 800-token chunks with their overlaps,
whole, in such pieces; and these chunks as a usual program hands them over, of which it reads the first 254 wordpieces
and no more. Rates are wordpieces of the documents, each counted once; the processor time of all our processes counts.
Memory is the most that the server and its parser each held while they indexed, with forward passes that compute
nothing.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpus import DEFAULT_DATA, documents, pieces_of, varied
from benchmarks.machine import Client, Server, children_of, processor_s, resident_mb, subprocess_json
from benchmarks.measurement import Measurement, Row, row, single

_MODEL = "all-MiniLM-L6-v2"
_RIVAL_READS = 254
"""Wordpieces of a text that sentence-transformers gives this model, beside the two marks around them."""
_BOUNDARY = "benchmark-boundary"
_MB = 1_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of Markdown documents")
    parser.add_argument("--files", type=int, default=10, help="files to index at full speed")
    parser.add_argument("--kb", type=int, default=20, help="kilobytes of each of them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--rival-python", default=sys.executable, help="a Python with sentence-transformers")
    parser.add_argument("--rival-model", type=Path, help="folder of the published all-MiniLM-L6-v2")
    parser.add_argument("--memory-mb", type=int, default=50, help="megabytes of the corpus whose memory is measured")
    parser.add_argument("--big-mb", type=int, default=18, help="megabytes of the one big text")


def measure(options: argparse.Namespace) -> Measurement:
    """Measure."""
    caveats = [
        "The machine had other work at the same time where its load before is above 0: read ratios, not rates.",
        "A document's windows overlap, so ours embeds each wordpiece 1.33 times; it is counted once.",
        "The rival neither parses, nor chunks, nor writes an index; its chunks were cut for it beforehand.",
        "The model that ships computes in 8-bit integers, the rival in 32-bit floats: the vectors agree to a cosine of "
        "about 0.99 (benchmarks.embedding).",
        "Memory is measured with forward passes that compute nothing: what a real pass needs is not in it.",
    ]
    rows = _speed(options, caveats) if options.files else []
    if options.memory_mb:
        many = varied(documents(options.data), n=options.memory_mb * 20, characters=_MB // 20)
        rows += _memory(many, f"{options.memory_mb} MB in files of 50 kB")
    if options.big_mb:
        one = varied(documents(options.data), n=1, characters=options.big_mb * _MB)
        rows += _memory(one, f"one text of {options.big_mb} MB")
    return Measurement(
        name="ingestion",
        title="Ingestion",
        method=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        caveats=caveats,
        rows=rows,
        repeat="python -m benchmarks.run ingestion --rival-python PYTHON --rival-model FOLDER",
    )


def _speed(options: argparse.Namespace, caveats: list[str]) -> list[Row]:
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embedders.wordpieces import Wordpieces

    texts = pieces_of(documents(options.data), n=options.files, characters=options.kb * 1000)
    wordpieces = Wordpieces.from_file(Catalogue().open(_MODEL).folder / "tokenizer.json")
    n_wordpieces = sum(len(wordpieces.tokenize(text)[0]) for text in texts)
    if options.rival_model is None:
        caveats.append("No rival was measured: --rival-model and --rival-python were not given.")
    took: list[Mapping[str, tuple[float, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "rival.json"
        file.write_text(json.dumps(_for_rival(texts, wordpieces)), encoding="utf-8")
        for _ in range(options.repeats):
            took.append({"localassist, upload to index": _index(texts, threads=options.threads)})
            if options.rival_model is not None:
                script = str(Path(__file__).with_name("rival_embedding.py"))
                command = [options.rival_python, script, str(file), str(options.rival_model), str(options.threads)]
                took[-1] = {**took[-1], **subprocess_json(command)}
    return _rates(took, n_wordpieces, caveats)


def _rates(took: Sequence[Mapping[str, tuple[float, float]]], n_wordpieces: int, caveats: list[str]) -> list[Row]:
    """Give the rates of each side by the clock and by its processor time, and the ratios inside each round."""
    caveats.append(f"{n_wordpieces:,} wordpieces of text in each round.")
    ours, *rivals = took[0]
    rows = []
    for which, unit in enumerate(("wordpieces/s", "wordpieces/CPU-s")):
        rows += [row(side, [n_wordpieces / t[side][which] for t in took], unit) for side in (ours, *rivals)]
    for which, by in enumerate(("clock", "processor")):
        for rival in rivals:
            ratios = [t[rival][which] / t[ours][which] for t in took]
            bound = "" if rival.endswith("beginnings") else ">= 1.6"
            rows.append(row(f"  by the {by}: {rival.split(', ')[1]}", ratios, "times", bound=bound))
    return rows


def _for_rival(texts: Sequence[str], wordpieces: Any) -> dict[str, list[str]]:
    """Cut the texts for the rival: into pieces that it reads whole, and into the API's default chunks."""
    from localassist.retrieval.chunk import chunk_by_tokens
    from localassist.tokens import token_spans

    def pieces(text: str) -> Iterator[str]:
        spans = wordpieces.tokenize(text)[1]
        for first in range(0, len(spans), _RIVAL_READS):
            part = spans[first : first + _RIVAL_READS]
            yield text[int(part[0][0]) : int(part[-1][1])]

    chunks = [
        text[c.start : c.end] for text in texts for c in chunk_by_tokens(token_spans(text), size=800, overlap=400)
    ]
    return {
        "sentence-transformers, documents": [piece for text in texts for piece in pieces(text)],
        "sentence-transformers, whole chunks": [piece for chunk in chunks for piece in pieces(chunk)],
        "sentence-transformers, chunks' beginnings": chunks,
    }


def _index(texts: Sequence[str], *, threads: int) -> tuple[float, float]:
    """Let a fresh server index the texts; the seconds from the first upload to the last completed file.

    Returns:
        Seconds on the clock, and of processor time of the server and its parser.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {"LOCALASSIST_EMBEDDER_THREADS": str(threads)}
        with Server(Path(home), environment=environment) as server:
            client = Client(server.host)
            _indexed(client, server, ["A first one, so that the model and the parser are there."])
            started, used_s = time.perf_counter(), _used_s(server)
            _indexed(client, server, texts)
            return time.perf_counter() - started, _used_s(server) - used_s


def _used_s(server: Server) -> float:
    return sum(processor_s(pid, with_ended=True) for pid in (server.pid, *children_of(server.pid)))


def _indexed(client: Client, server: Server, texts: Sequence[str]) -> None:
    """Upload, index, and wait for the end."""
    files = [upload(client, f"{number}.md", text) for number, text in enumerate(texts)]
    _wait(client, server, client.call("POST", "/vector_stores", {"file_ids": files})["id"], n_files=len(files))


def _wait(client: Client, server: Server, store: str, *, n_files: int) -> float:
    """Wait until all files are completed; the most that the parser held, in MB."""
    parser_mb = 0.0
    while True:
        counts = client.call("GET", f"/vector_stores/{store}")["file_counts"]
        for child in children_of(server.pid):
            try:
                parser_mb = max(parser_mb, resident_mb(child, highest=True))
            except (OSError, StopIteration):
                continue  # it has just ended
        if counts["failed"]:
            failed = client.call("GET", f"/vector_stores/{store}/files?filter=failed")["data"][0]
            raise SystemExit(f"A file failed: {failed['last_error']}")
        if counts["completed"] == n_files:
            return parser_mb
        time.sleep(0.05)


def _memory(texts: Any, what: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as home, Server(Path(home), module="benchmarks.no_pass") as server:
        client = Client(server.host)
        files = [upload(client, f"{number}.md", text) for number, text in enumerate(texts)]
        started, parser_mb = time.perf_counter(), 0.0
        store = client.call("POST", "/vector_stores", {})["id"]
        for first in range(0, len(files), 500):
            batch = {"file_ids": files[first : first + 500]}
            client.call("POST", f"/vector_stores/{store}/file_batches", batch)
        parser_mb = _wait(client, server, store, n_files=len(files))
        seconds = time.perf_counter() - started
        return [
            single(f"{what}: server held", resident_mb(server.pid, highest=True), "MB", bound="< 600"),
            single("  its parser held", parser_mb, "MB"),
            single("  time without forward passes", seconds, "s"),
        ]


def upload(client: Client, name: str, text: str) -> str:
    """Upload a file; its id."""
    head = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--{_BOUNDARY}\r\n'
    head += f'content-disposition: form-data; name="file"; filename="{name}"\r\ncontent-type: text/markdown\r\n\r\n'
    data = head.encode() + text.encode() + f"\r\n--{_BOUNDARY}--\r\n".encode()
    answer = client.send("POST", "/files", data, content_type=f"multipart/form-data; boundary={_BOUNDARY}")
    return str(json.loads(answer.read())["id"])
