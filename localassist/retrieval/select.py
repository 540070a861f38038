"""The best chunks without near-copies of what is already chosen."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from localassist.retrieval.lexical import Scores

OVERLAP_PENALTY: Final = 0.15
"""Source: measured, `docs/retrieval.md`: +1.5, +2.4 and +1.2 points of recall at 5 on three collections."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where candidates stand.

    Attributes:
        texts: `[n] int64`, equal for candidates of equal text, whatever file they were found in.
        files: `[n] int64`, equal for candidates of the same file, whatever store it was found in.
        spans: `[n, 2] int64`, characters in the text.
    """

    texts: NDArray[np.int64]
    files: NDArray[np.int64]
    spans: NDArray[np.int64]


def choose(scores: Scores, places: Places, *, limit: int, penalty: float) -> list[tuple[int, float]]:
    """Choose greedily, best first: for each chosen chunk that it overlaps, a candidate loses `penalty`.

    So further copies of a passage, under other names, move behind passages that say something new; the same file found
    in two stores is chosen once.

    Args:
        scores: `[n] float64`, descending.
        places: where the candidates stand.
        limit: how many to choose.
        penalty: in the unit of the scores.

    Returns:
        The index and remaining score of each chosen candidate; scores never increase.
    """
    remaining = scores.copy()
    chosen: list[tuple[int, float]] = []
    while len(chosen) < min(limit, len(scores)):
        best = int(np.argmax(remaining))  # the first of equals
        if remaining[best] == -np.inf:
            break
        chosen.append((best, float(remaining[best])))
        start, end = places.spans[best]
        overlaps = (places.texts == places.texts[best]) & (places.spans[:, 0] < end) & (places.spans[:, 1] > start)
        same = overlaps & (places.files == places.files[best]) & (places.spans == places.spans[best]).all(axis=1)
        remaining[overlaps] -= penalty
        remaining[same] = -np.inf
    return chosen
