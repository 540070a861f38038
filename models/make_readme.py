"""Write `models/README.md`, the table a person reads, from `models/registry.toml`: `python models/make_readme.py`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from localassist.retrieval.catalogue import ModelCard, read_registry  # noqa: E402 - the checkout, installed or not

HEAD = """\
# Models

<!-- Made by models/make_readme.py from registry.toml: change that file, then run the script. -->

Models that localassist knows. Their files are verified by SHA-256 before they are used, and never downloaded. To use
another one, give the path of a local sentence-transformers folder as `--embedder` (setting `embedder`), or put its
folder into the one named by `models_folder`.

| name | languages | vector | reads at once | size | licence | |
|---|---|---|---|---|---|---|
"""


def row(card: ModelCard) -> str:
    """Write a model's line of the table."""
    languages = "every" if "*" in card.languages else ", ".join(card.languages)
    return (
        f"| [{card.name}]({card.source}) | {languages} | {card.dim} | {card.max_tokens} wordpieces "
        f"| {card.size_mb:g} MB | {card.licence} | {card.description} |\n"
    )


def render() -> str:
    """Write the whole page."""
    return HEAD + "".join(row(card) for card in read_registry(HERE / "registry.toml"))


if __name__ == "__main__":
    (HERE / "README.md").write_text(render(), encoding="utf-8")
