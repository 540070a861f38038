"""A deterministic embedder without a model, for unit tests: equal words have equal vectors, and it knows no more."""

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.embed import EmbeddingRecipe, Ids, WindowEmbedder, WindowPlan
from localassist.retrieval.model import Vectors

_WORD = re.compile(r"[\u2e80-\U0003ffff]|[^\W\d_\u2e80-\U0003ffff]+|\d+|[^\w\s]")
_MAX_WORD = 24


class HashingModel:
    """A random vector for each word; implements `retrieval.embed.TokenModel`.

    Tokens are words, at most 24 characters of one, and single characters of East Asian scripts. A token has one output
    wherever it stands.
    """

    special_ids: tuple[Sequence[int], Sequence[int]] = ((), ())

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim

    def tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ids `[n]` of a text's words, and their characters `[n, 2]`."""
        spans: list[tuple[int, int]] = []
        for word in _WORD.finditer(text):
            spans += [(at, min(at + _MAX_WORD, word.end())) for at in range(word.start(), word.end(), _MAX_WORD)]
        ids = [zlib.crc32(text[a:b].lower().encode("utf-8", "replace")) & 0x7FFFFFFF for a, b in spans]
        return np.array(ids, np.int32), np.array(spans, np.int32).reshape(-1, 2)

    def forward(self, ids: Ids) -> Vectors:
        """Give a vector of plus and minus one for every token, `[batch, length, dim]`."""
        unique, inverse = np.unique(ids, return_inverse=True)
        rows = [np.random.default_rng(int(i)).choice((-1.0, 1.0), self.dim) for i in unique]
        return np.array(rows, np.float32).reshape(-1, self.dim)[inverse.reshape(ids.shape)]


def hashing_embedder(dim: int = 64, *, plan: WindowPlan | None = None) -> WindowEmbedder:
    """Make an embedder that needs no model and reads every language; the vector of a text without words is zero."""
    recipe = EmbeddingRecipe(f"hashing-{dim}", languages=("*",), max_tokens=256, plan=plan or WindowPlan())
    return WindowEmbedder(HashingModel(dim), recipe)
