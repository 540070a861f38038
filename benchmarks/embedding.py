"""How fast texts become vectors, beside sentence-transformers' default on the same model, texts and number of threads.

    python -m benchmarks.run embedding --texts FOLDER_OR_FILE… --rival-model FOLDER [--rival-python PYTHON]

FOLDER holds the published all-MiniLM-L6-v2; PYTHON has sentence-transformers installed. Each side works in a process of
its own, in turns; the texts are short enough that both embed all of them. Memory is that of embedding one text with
everything but the forward pass.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpus import DEFAULT_DATA
from benchmarks.machine import ROOT, subprocess_json
from benchmarks.measurement import Measurement, Row, row, single

MODEL = "all-MiniLM-L6-v2"
WORDS_IN_A_TEXT = 120
MAX_WORDPIECES = 200
"""Of a text: one window of ours, and less than the 256 that the rival reads."""
_SIDE = (sys.executable, "-m", "benchmarks.embedding")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--texts", type=Path, nargs="+", default=[ROOT / "docs", ROOT / "examples", DEFAULT_DATA])
    parser.add_argument("--texts-n", type=int, default=100, help="texts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rival-model", type=Path)
    parser.add_argument("--rival-python", default=sys.executable)
    parser.add_argument("--memory", type=int, metavar="MB", default=10)


def measure(options: argparse.Namespace) -> Measurement:
    """Let both sides embed the same texts, in turns."""
    texts = read_texts(options.texts, n=options.texts_n)
    if not texts:
        raise SystemExit(f"No text of {WORDS_IN_A_TEXT} words in {', '.join(map(str, options.texts))}.")
    caveats = [
        f"{len(texts)} texts of {WORDS_IN_A_TEXT} words, each short enough that both sides embed all of it.",
        "As one document its windows overlap by a quarter, so each wordpiece is embedded 1.33 times; it counts once.",
    ]
    first = [subprocess_json([*_SIDE, "first"]) for _ in range(3)]
    rows = [
        row("from process start to the first vector", [f["cpu_s"] for f in first], "CPU-s"),
        row("resident then", [f["rss_mb"] for f in first], "MB"),
        row("a query of 14 wordpieces", [f["query_ms"] for f in first], "ms"),
    ]
    sides = {"ours": sys.executable}
    missing = "no --rival-model was given" if options.rival_model is None else why_no_rival(options.rival_python)
    if missing is None:
        sides["rival"] = options.rival_python
    else:
        caveats.append(f"sentence-transformers was left out: {missing}.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        runs: dict[str, list[Mapping[str, Any]]] = {side: [] for side in sides}
        for _ in range(options.repeats):
            for side, python in sides.items():
                command = [python, str(Path(__file__)), side, str(folder), str(options.threads)]
                runs[side].append(subprocess_json([*command, str(options.rival_model)]))
        rows += report(runs, folder)
    held = subprocess_json([*_SIDE, "memory", str(options.memory)])
    rows.append(single(f"most memory, a text of {options.memory} MB, no forward pass", held["rss_mb"], "MB"))
    return Measurement(
        name="embedding",
        title="Embedding",
        method=" ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        caveats=caveats,
        rows=rows,
        repeat="python -m benchmarks.run embedding --rival-python PYTHON --rival-model FOLDER",
    )


def report(runs: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> list[Row]:
    """Give the rates, the ratios inside each round, and how near the vectors are."""
    n_tokens = runs["ours"][0]["n_tokens"]
    names = {"ours": "localassist", "rival": "sentence-transformers"}
    rows = []
    for which, unit in (("wall_s", "wordpieces/s"), ("cpu_s", "wordpieces/CPU-s")):
        rows += [row(names[side], [n_tokens / r[which] for r in results], unit) for side, results in runs.items()]
    whole = [r["whole_tokens"] / r["whole_s"] for r in runs["ours"]]
    rows.append(row("localassist, as one document", whole, "wordpieces/s"))
    if "rival" in runs:
        for which, by in (("wall_s", "clock"), ("cpu_s", "processor")):
            ratios = [b[which] / a[which] for a, b in zip(runs["ours"], runs["rival"], strict=True)]
            rows.append(row(f"times as fast by the {by}", ratios, "times"))
        cosines = np.sum(np.load(folder / "ours.npy") * np.load(folder / "rival.npy"), axis=1)
        rows.append(row("cosine of our vectors to theirs", cosines.tolist(), ""))
    return rows


def main() -> None:
    """Do the work of one side, for `measure` in the other process, and print what it found."""
    match sys.argv[1:]:
        case ["first"]:
            print(json.dumps(first_vector()))
        case ["memory", size_mb]:
            print(json.dumps({"rss_mb": memory(int(size_mb))}))
        case ["ours" | "rival" as side, folder, threads, model]:
            work(side, Path(folder), threads=int(threads), model=Path(model))


def work(side: str, folder: Path, *, threads: int, model: Path | None) -> None:
    """Embed the texts once to warm up and once measured; print the times, and leave the vectors in `folder`."""
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    result: dict[str, float] = {}
    if side == "ours":
        sys.path.insert(0, str(ROOT))
        embed, n_tokens, whole = our_side(threads)
        result["n_tokens"] = sum(n_tokens(text) for text in texts)
        embed(texts[:4])
        document = "\n\n".join(texts)
        started = time.perf_counter()
        whole(document)
        result |= {"whole_s": time.perf_counter() - started, "whole_tokens": n_tokens(document)}
    else:
        embed = rival_side(model, threads)
        embed(texts[:4])
    started, cpu = time.perf_counter(), time.process_time()
    vectors = embed(texts)
    result |= {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    np.save(folder / f"{side}.npy", vectors)
    print(json.dumps(result))


def our_side(threads: int) -> tuple[Callable[[Sequence[str]], Any], Callable[[str], int], Callable[[str], Any]]:
    """Open the model that ships: how it embeds texts, counts wordpieces, and embeds a document."""
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embed import WindowEmbedder, in_order
    from localassist.retrieval.embedders.onnx import OnnxModel

    local = Catalogue().open(MODEL)
    model = OnnxModel(local.onnx_file, local.folder / "tokenizer.json")
    embedder = WindowEmbedder(model, local.recipe, workers=threads)

    def one(text: str) -> Any:
        return embedder.embed_text(text).window_vectors[0]

    def embed(texts: Sequence[str]) -> Any:
        return np.stack(list(in_order(one, iter(texts), workers=threads)))

    def n_tokens(text: str) -> int:
        return len(model.tokenize(text)[0])

    return embed, n_tokens, embedder.embed_text


def rival_side(model: Path | None, threads: int) -> Callable[[Sequence[str]], Any]:
    """Open the published model with sentence-transformers, everything else at its defaults."""
    import sentence_transformers
    import torch

    torch.set_num_threads(threads)
    rival = sentence_transformers.SentenceTransformer(str(model), device="cpu", local_files_only=True)
    return lambda texts: rival.encode(list(texts))


def first_vector() -> dict[str, float]:
    """Measure this process up to its first vector, then queries."""
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embed import WindowEmbedder
    from localassist.retrieval.embedders.onnx import OnnxModel

    local = Catalogue().open(MODEL)
    embedder = WindowEmbedder(OnnxModel(local.onnx_file, local.folder / "tokenizer.json"), local.recipe)
    embedder.embed_query(["the first one"])
    result = {"cpu_s": time.process_time(), "rss_mb": resident_mb()}
    times = []
    for number in range(50):
        started = time.perf_counter()
        embedder.embed_query([f"What did the president say about inflation in year {number}?"])
        times.append(time.perf_counter() - started)
    return result | {"query_ms": statistics.median(times) * 1000}


def memory(size_mb: int) -> float:
    """Embed a text of `size_mb` MB with the real tokeniser and passes that compute nothing; the most MB held."""
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embed import WindowEmbedder
    from localassist.retrieval.embedders.onnx import OnnxModel

    class NoPass(OnnxModel):
        def forward(self, ids: Any) -> Any:
            """Give the same outputs for all windows, after one real pass that finds their length."""
            if not hasattr(self, "dim"):
                return super().forward(ids)
            return np.ones((*ids.shape, self.dim), np.float32)

    local = Catalogue().open(MODEL)
    embedder = WindowEmbedder(NoPass(local.onnx_file, local.folder / "tokenizer.json"), local.recipe)
    sentence = "The quick brown fox number {} jumps over the lazy dog while revenues of the company increased. "
    text = "".join(sentence.format(n) for n in range(size_mb * 1_000_000 // 92))[: size_mb * 1_000_000]
    embedder.embed_text(text)
    return resident_mb()


def read_texts(paths: Sequence[Path], *, n: int) -> list[str]:
    """Cut text files into `n` pieces of equal numbers of words, none longer than a window."""
    from localassist.retrieval.catalogue import Catalogue
    from localassist.retrieval.embedders.wordpieces import Wordpieces

    wordpieces = Wordpieces.from_file(Catalogue().open(MODEL).folder / "tokenizer.json")
    files = [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.suffix in {".md", ".txt"}]
    texts = []
    for file in files:
        words = file.read_text(encoding="utf-8", errors="replace").split()
        for first in range(0, len(words) - WORDS_IN_A_TEXT, WORDS_IN_A_TEXT):
            text = " ".join(words[first : first + WORDS_IN_A_TEXT])
            if len(wordpieces.tokenize(text)[0]) <= MAX_WORDPIECES:
                texts.append(text)
    step = max(len(texts) // n, 1)
    return texts[::step][:n]


def why_no_rival(python: str) -> str | None:
    """Tell why the rival cannot run, or None when it can."""
    done = subprocess.run([python, "-c", "import sentence_transformers"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it does not import"])[-1]


def resident_mb() -> float:
    """Give the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
