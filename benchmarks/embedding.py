"""How fast texts become vectors, beside sentence-transformers' default on the same model, texts and number of threads.

    python -m benchmarks.embedding --texts FOLDER_OR_FILE… --rival-model FOLDER [--rival-python PYTHON] [--threads 1]
    python -m benchmarks.embedding --memory 50

FOLDER holds the published all-MiniLM-L6-v2; PYTHON has sentence-transformers installed. Each side works in a process of
its own, in turns; the texts are short enough that both embed all of them. `--memory N` embeds one text of N MB with
everything but the forward pass, and prints what it held.
"""

import argparse
import json
import os
import platform
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

ROOT = Path(__file__).parents[1]
MODEL = "all-MiniLM-L6-v2"
WORDS_IN_A_TEXT = 120
MAX_WORDPIECES = 200
"""Of a text: one window of ours, and less than the 256 that the rival reads."""


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, nargs="+", default=[ROOT / "docs", ROOT / "examples"])
    parser.add_argument("--n", type=int, default=100, help="texts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rival-model", type=Path)
    parser.add_argument("--rival-python", default=sys.executable)
    parser.add_argument("--memory", type=int, metavar="MB")
    parser.add_argument("--side", choices=["ours", "rival", "first"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options:
        case argparse.Namespace(side="first"):
            print(json.dumps(first_vector()))
        case argparse.Namespace(side="ours" | "rival"):
            work(options.side, options.folder, threads=options.threads, model=options.rival_model)
        case argparse.Namespace(memory=int(size)):
            print(f"{machine()}\n{memory(size)}")
        case _:
            compare(options)


def compare(options: argparse.Namespace) -> None:
    """Let both sides embed the same texts, in turns, and print the table."""
    texts = read_texts(options.texts, n=options.n)
    if not texts:
        raise SystemExit(f"No text of {WORDS_IN_A_TEXT} words in {', '.join(map(str, options.texts))}.")
    print(f"{machine()}\n{len(texts)} texts, {options.repeats} repeats in turns, {options.threads} thread(s) each\n")
    start = [subprocess_json([sys.executable, "-m", "benchmarks.embedding", "--side", "first"]) for _ in range(3)]
    for key, unit in (("cpu_s", "CPU-s from process start to the first vector"), ("rss_mb", "MB resident then")):
        print(f"{statistics.median(s[key] for s in start):8.2f} {unit}")
    print(f"{statistics.median(s['query_ms'] for s in start):8.2f} ms for a query of 14 wordpieces (median of 50)\n")
    sides = {"ours": sys.executable}
    if options.rival_model is None:
        print("sentence-transformers: skipped, no --rival-model was given\n")
    elif (missing := why_no_rival(options.rival_python)) is not None:
        print(f"sentence-transformers: skipped, {missing}\n")
    else:
        sides["rival"] = options.rival_python
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        runs: dict[str, list[Mapping[str, Any]]] = {side: [] for side in sides}
        for _ in range(options.repeats):
            for side, python in sides.items():
                command = [python, str(Path(__file__)), "--side", side, "--folder", str(folder)]
                command += ["--threads", str(options.threads)]
                command += ["--rival-model", str(options.rival_model)] if side == "rival" else []
                runs[side].append(subprocess_json(command))
        report(runs, folder)


def report(runs: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> None:
    """Print the rates with their spread, the ratio, and how near the vectors are."""
    n_tokens = runs["ours"][0]["n_tokens"]
    print(f"{'':24}{'wordpieces/s':>14}{'spread':>18}{'per CPU-s':>12}   ({n_tokens} wordpieces)")
    names = {"ours": "localassist", "rival": "sentence-transformers"}
    median: dict[str, float] = {}
    for side, results in runs.items():
        rates = sorted(n_tokens / r["wall_s"] for r in results)
        median[side] = statistics.median(rates)
        per_cpu = statistics.median(n_tokens / r["cpu_s"] for r in results)
        spread = f"{rates[0]:.0f} to {rates[-1]:.0f}"
        print(f"{names[side]:24}{median[side]:14.0f}{spread:>18}{per_cpu:12.0f}")
    whole = sorted(r["whole_tokens"] / r["whole_s"] for r in runs["ours"])
    print(f"{'  as one document':24}{statistics.median(whole):14.0f}{f'{whole[0]:.0f} to {whole[-1]:.0f}':>18}")
    print("  (a document's windows overlap by a quarter, so each wordpiece is embedded 1.33 times; it is counted once)")
    if "rival" in runs:
        ours, theirs = np.load(folder / "ours.npy"), np.load(folder / "rival.npy")
        cosines = np.sum(ours * theirs, axis=1)
        print(f"\nratio {median['ours'] / median['rival']:.2f}", end="; ")
        print(f"cosine of our vectors to theirs: mean {cosines.mean():.4f}, least {cosines.min():.4f}")


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


def memory(size_mb: int) -> str:
    """Embed one text of `size_mb` MB with the real tokeniser and a forward pass that computes nothing."""
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
    before = resident_mb()
    text = "".join(sentence.format(n) for n in range(size_mb * 1_000_000 // 92))[: size_mb * 1_000_000]
    started = time.perf_counter()
    n_windows = len(embedder.embed_text(text).window_spans)
    return (
        f"{size_mb} MB of text, {n_windows} windows: {resident_mb():.0f} MB resident at most, {before:.0f} before; "
        f"{time.perf_counter() - started:.0f} s without the forward passes"
    )


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


def subprocess_json(command: Sequence[str]) -> Any:
    """Run a command in the checkout and read the last line it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def resident_mb() -> float:
    """Give the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Say where and what was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    name = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    special = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8") if flag in flags]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return (
        f"{name}, {os.cpu_count()} cores ({' '.join(special)}), load {os.getloadavg()[0]:.1f}; {platform.platform()}; "
        f"Python {platform.python_version()}; commit {commit.stdout.strip()}; {time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    main()
