"""Run benchmarks, print their tables, and keep what they found.

    python -m benchmarks.run NAME [options of this benchmark]
    python -m benchmarks.run all [--data FOLDER] [--rival-python PYTHON --rival-model FOLDER]

Each result is one file in `benchmarks/results/`, named by its date, commit and benchmark. `python -m benchmarks.render`
makes README.md of the newest of each.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.machine import ROOT, commit, machine
from benchmarks.measurement import Benchmark, table

NAMES = ("startup", "runs", "streaming", "ingestion", "embedding", "retrieval_speed", "retrieval")
"""In the order of the page."""
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*NAMES, "all"])
    name = parser.parse_args(given[:1]).name
    for each in NAMES if name == "all" else (name,):
        run(each, given[1:], strict=name != "all")


def run(name: str, arguments: Sequence[str], *, strict: bool) -> None:
    """Run one benchmark; unless `strict`, options of others are passed over."""
    benchmark = cast("Benchmark", importlib.import_module(f"benchmarks.{name}"))
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.run {name}",
        description=sys.modules[f"benchmarks.{name}"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    benchmark.add_options(parser)
    options = parser.parse_args(arguments) if strict else parser.parse_known_args(arguments)[0]
    where, at, day = machine(), commit(), time.strftime("%Y-%m-%d")
    print(f"\n== {name}: {where['cpu']}, {where['cores']} cores, load {where['load_before']}, commit {at}", flush=True)
    try:
        found = benchmark.measure(options)
    except SystemExit as reason:
        if strict:
            raise
        print(f"left out: {reason}", flush=True)
        return
    print(table(found.rows))
    shown = {key: _shown(value) for key, value in vars(options).items() if value is not None and "rival" not in key}
    document = {"date": day, "commit": at, "machine": where, "options": shown, **found.as_json()}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{day}-{at.rstrip('+')}-{name}.json"
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"-> {file.relative_to(ROOT)}", flush=True)


def _shown(value: Any) -> str:
    """Write an option without the folders of this machine: a path by its last name."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, (list, tuple)):
        return " ".join(_shown(each) for each in value)
    return str(value)


if __name__ == "__main__":
    main()
