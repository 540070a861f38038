"""A document's tokens to chunks that quote it exactly."""

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.model import Chunk


def chunk_by_tokens(spans: NDArray[np.int64], *, size: int = 800, overlap: int = 400) -> list[Chunk]:
    """Cut a text into windows of `size` tokens that share `overlap` tokens with the one before.

    Args:
        spans: `[n_tokens, 2] int64`, the characters of each token, in reading order and on whole characters.
        size: tokens per window, at least 1; only the last window may hold fewer.
        overlap: tokens shared by neighbours, less than `size`; the API allows at most half of it.

    Returns:
        The windows in reading order, together covering every token. The last window ends with the last token and
        reaches beyond its predecessor: there is no tail that lies inside another chunk. A window without a character
        of its own (tiny sizes only: the later tokens of a character that several tokens share) is left out.

    Raises:
        ValueError: `size` or `overlap` is out of range.
    """
    if size < 1:
        raise ValueError(f"{size=} must be at least 1.")
    if not 0 <= overlap < size:
        raise ValueError(f"{overlap=} must be at least 0 and less than {size=}.")
    n_tokens = len(spans)
    if n_tokens == 0:
        return []
    step = size - overlap
    firsts = np.arange(0, max(n_tokens - overlap, 1), step)
    lasts = np.minimum(firsts + size, n_tokens)
    starts, ends = spans[firsts, 0].tolist(), spans[lasts - 1, 1].tolist()
    counts = (lasts - firsts).tolist()
    return [Chunk(start, end, n) for start, end, n in zip(starts, ends, counts, strict=True) if end > start]
