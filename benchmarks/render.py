"""Make README.md of the newest result of each benchmark.

python -m benchmarks.render
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.measurement import show
from benchmarks.run import NAMES, RESULTS

_HEAD = """# Benchmarks

Made by `python -m benchmarks.render` from `benchmarks/results/`; not written by hand. What was tried is in
[LOG.md](LOG.md). Figures of different machines, or of one machine under different load, cannot be compared: compare
rows of one table.

    python -m benchmarks.run all && python -m benchmarks.render

`--rival-python` names a Python that has sentence-transformers, `--rival-model` a folder with the published
all-MiniLM-L6-v2, `--data` the folder of the question sets; without them those rows are left out.
"""


def main() -> None:
    """Write the page."""
    (ROOT / "benchmarks" / "README.md").write_text(page(newest()), encoding="utf-8")


def newest() -> list[Mapping[str, Any]]:
    """Read the newest result of each benchmark, in the order of the page."""
    found: dict[str, tuple[tuple[str, float], Mapping[str, Any]]] = {}
    for file in RESULTS.glob("*.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        key = (result["date"], file.stat().st_mtime)
        if result["name"] not in found or key > found[result["name"]][0]:
            found[result["name"]] = (key, result)
    return [found[name][1] for name in NAMES if name in found]


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Write all results."""
    return "\n".join([_HEAD, *(section(result) for result in results)])


def section(result: Mapping[str, Any]) -> str:
    """Write one benchmark: what the figures do not say first, then where they come from, then they."""
    where = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    flags = f" ({', '.join(where['cpu_flags'])})" if where["cpu_flags"] else ""
    lines = [f"## {result['title']}", "", "Beware:", "", *(f"- {caveat}" for caveat in result["caveats"]), ""]
    lines += [result["method"], "", "| | median | unit | least to greatest | n | asked for |"]
    lines += ["|---|---:|---|---:|---:|---|", *(_line(row) for row in result["rows"]), ""]
    lines += [
        f"{result['date']}, commit {result['commit']}; {where['cpu']}, {where['cores']} cores{flags}, "
        f"{where['memory_gb']:.0f} GB, load before {where['load_before']}; {where['system']}, Python "
        f"{where['python']}; {versions}. Again: `{result['repeat']}`.",
        "",
    ]
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    spread = "" if row["n"] == 1 else f"{show(row['low'])} to {show(row['high'])}"
    what = row["what"].strip() if row["what"] == row["what"].lstrip() else f"– {row['what'].strip()}"
    return f"| {what} | {show(row['value'])} | {row['unit']} | {spread} | {row['n']} | {row['bound']} |"


if __name__ == "__main__":
    main()
