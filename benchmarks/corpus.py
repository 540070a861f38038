"""Texts to measure with: the documents of the question sets, and as much more as is asked for in their words."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

DEFAULT_DATA = Path("../shared/data")
_EXAMPLES = Path(__file__).parents[1] / "examples"


def documents(data: Path) -> list[str]:
    """Read the English Markdown documents of `data`, or of the examples where there are none."""
    found = sorted(data.rglob("*.md"), key=lambda path: -path.stat().st_size) if data.is_dir() else []
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in found if path.name != "README.md"]
    return texts or [path.read_text(encoding="utf-8") for path in sorted(_EXAMPLES.rglob("*.md"))]


def pieces_of(texts: Sequence[str], *, n: int, characters: int) -> list[str]:
    """Cut `n` texts of about equal length, from all documents in turn, at the ends of lines."""
    starts = [0] * len(texts)
    found: list[str] = []
    while len(found) < n and any(start < len(text) for start, text in zip(starts, texts, strict=True)):
        for number, text in enumerate(texts):
            start = starts[number]
            cut = text.find("\n", start + characters)
            starts[number] = len(text) if cut < 0 else cut + 1
            if len(text) - start > characters and len(found) < n:
                found.append(text[start : starts[number]])
    return found


def varied(texts: Sequence[str], *, n: int, characters: int, seed: int = 0) -> Iterator[str]:
    """Give `n` texts of this length in which the documents' own sentences follow one another at random."""
    rng = random.Random(seed)
    sentences = [s for text in texts for line in text.split("\n") for s in line.split(". ") if len(s) > 20]
    for number in range(n):
        parts, length = [f"# Document {number}\n"], 0
        while length < characters:
            parts.append(rng.choice(sentences) + (".\n\n" if rng.random() < 0.2 else ". "))
            length += len(parts[-1])
        yield "".join(parts)
