"""Wordpieces and their characters, through the `tokenizers` library."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from localassist.errors import ConfigurationError

MAX_UNKNOWN_CHARACTERS = 24
"""A longer run of characters that the tokeniser gives up on is cut into runs of this length, which are tried again.

BERT makes one `[UNK]` of every word of more than 100 characters *after* taking it apart (a Hangul syllable is up to
three, a rare letter up to four), so a hash or a text without blanks would be invisible to the model.
"""


MAX_READ_CHARACTERS = 2048
"""Of a run without any blank that is longer than this, every `MAX_UNKNOWN_CHARACTERS` count as one unknown wordpiece.

No script writes so long without a blank or a mark; encoded data does, and every two of its characters would become a
wordpiece: 10 MB of it would take minutes to embed, and mean nothing. The run still has its place in the windows.
"""


class Wordpieces:
    """A tokeniser as its model was trained with, made to see all of a text.

    Args:
        tokenizer: the library's own; its padding and truncation are switched off.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._unknown_id = self._find_unknown_id()
        self.special_ids = self._find_special_ids()

    @classmethod
    def from_file(cls, path: Path) -> "Wordpieces":
        """Read a `tokenizer.json`.

        Raises:
            ConfigurationError: it cannot be read.
        """
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")))
        except Exception as error:  # the library raises bare Exception for every fault of the file
            raise ConfigurationError(f"{path} is not a tokenizer.json that can be used: {error}") from error

    def tokenize(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Give the ids `[n]` of a text's wordpieces, without special ones, and their characters `[n, 2]`."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        if self._unknown_id in encoding.ids:
            return self._arrays(*zip(*self._without_long_unknowns(text, encoding), strict=True))
        return self._arrays(encoding.ids, encoding.offsets)

    @staticmethod
    def _arrays(ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        return np.array(ids, np.int32), np.array(offsets, np.int32).reshape(-1, 2)

    def _without_long_unknowns(self, text: str, encoding: Encoding) -> Iterator[tuple[int, tuple[int, int]]]:
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token != self._unknown_id or end - start <= MAX_UNKNOWN_CHARACTERS:
                yield token, (start, end)
                continue
            for at in range(start, end, MAX_UNKNOWN_CHARACTERS):
                if end - start > MAX_READ_CHARACTERS:
                    yield token, (at, min(at + MAX_UNKNOWN_CHARACTERS, end))
                    continue
                part = self._tokenizer.encode(
                    text[at : min(at + MAX_UNKNOWN_CHARACTERS, end)], add_special_tokens=False
                )
                yield from ((i, (at + a, at + b)) for i, (a, b) in zip(part.ids, part.offsets, strict=True))

    def _find_unknown_id(self) -> int | None:
        token = getattr(self._tokenizer.model, "unk_token", None)
        return None if token is None else self._tokenizer.token_to_id(token)

    def _find_special_ids(self) -> tuple[Sequence[int], Sequence[int]]:
        """Ask the tokeniser what it puts around a text."""
        encoding = self._tokenizer.encode("a", add_special_tokens=True)
        own = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
        return tuple(encoding.ids[: own[0]]), tuple(encoding.ids[own[-1] + 1 :])
