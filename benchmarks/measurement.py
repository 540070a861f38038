"""What a benchmark gives: rows of figures with their spread, and what must be known to read them."""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: the median of `n` repetitions, with the least and the greatest of them."""

    what: str
    value: float
    unit: str
    low: float
    high: float
    n: int
    bound: str = ""
    """What was asked for, such as `< 10`; empty when nothing was."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one benchmark."""

    name: str
    title: str
    method: str
    """How it was measured, in a sentence or two."""
    caveats: Sequence[str]
    """Where a figure flatters or wrongs somebody; shown before the figures."""
    rows: Sequence[Row]
    repeat: str
    """The command that measures it again."""

    def as_json(self) -> dict[str, Any]:
        """Give it for a file."""
        return asdict(self)


class Benchmark(Protocol):
    """A module of this folder."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add its options, each with a default."""
        ...

    def measure(self, options: argparse.Namespace) -> Measurement:
        """Measure."""
        ...


def row(what: str, values: Sequence[float], unit: str, *, bound: str = "") -> Row:
    """Sum repetitions up."""
    low, high = min(values), max(values)
    return Row(what, statistics.median(values), unit, low, high, len(values), bound)


def single(what: str, value: float, unit: str, *, bound: str = "") -> Row:
    """Give a figure that was measured once."""
    return Row(what, value, unit, value, value, 1, bound)


def quantile(values: Sequence[float], share: float) -> float:
    """Give the least value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 1000) // 1000) - 1))]


def show(value: float) -> str:
    """Write a figure with three significant digits or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Write the figures for a terminal."""
    lines = [f"{'':58}{'median':>10} {'':12}{'least':>10}{'greatest':>10}{'n':>6}  asked for"]
    for r in rows:
        low, high = show(r.low), show(r.high)
        lines.append(f"{r.what:58}{show(r.value):>10} {r.unit:12}{low:>10}{high:>10}{r.n:>6}  {r.bound}".rstrip())
    return "\n".join(lines)
