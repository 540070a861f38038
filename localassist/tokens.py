"""Count tokens and find the characters of each, with OpenAI's published vocabularies and without a download.

The vocabularies lie inside litellm's wheel, under the names that tiktoken gives to its cache: the SHA-1 of their
address. They are read from there, checked against their SHA-256 and handed to tiktoken as values, so none of
tiktoken's own loading, which would fetch what it misses, ever runs. litellm itself is not imported.
"""

import binascii
import hashlib
import importlib.util
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tiktoken
from numpy.typing import NDArray

from localassist.errors import ConfigurationError

EncodingName = Literal["o200k_base", "cl100k_base"]
DEFAULT_ENCODING: EncodingName = "o200k_base"

SEGMENT_CHARACTERS = 32_768
"""Texts are encoded in segments of at most so many characters.

tiktoken's regular expression raises on a run of 1,000,000 blanks and slows down on very long words: segments bound
both.
"""

_BACKTRACK_CHARACTERS = 4_096
"""So far back from the end of a segment a harmless place to cut is looked for."""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """What defines an encoding: where it was published, what its bytes must be, and how a text is pre-split."""

    address: str
    sha256: str
    pattern: str


# Source: the definitions of both encodings in tiktoken, module `tiktoken_ext.openai_public`, https://github.com/openai/tiktoken
_VOCABULARIES: dict[EncodingName, _Vocabulary] = {
    "o200k_base": _Vocabulary(
        address="https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        pattern="|".join(
            (
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            )
        ),
    ),
    "cl100k_base": _Vocabulary(
        address="https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        pattern="|".join(
            (
                r"'(?i:[sdmt]|ll|ve|re)",
                r"[^\r\n\p{L}\p{N}]?+\p{L}++",
                r"\p{N}{1,3}+",
                r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
                r"\s++$",
                r"\s*[\r\n]",
                r"\s+(?!\S)",
                r"\s",
            )
        ),
    ),
}


class Tokenizer:
    """One encoding: counts tokens and finds their characters. Safe to share between threads."""

    def __init__(self, name: str, *, ranks: dict[bytes, int], pattern: str) -> None:
        self.name = name
        # No special tokens: `<|endoftext|>` in a file is ordinary text.
        self._encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        self._n_bytes = np.zeros(max(ranks.values()) + 1, dtype=np.int64)
        for token, rank in ranks.items():
            self._n_bytes[rank] = len(token)

    def encode(self, text: str) -> list[int]:
        """Give the tokens of a text; lone surrogates count as U+FFFD."""
        tokens: list[int] = []
        for segment in _segments(text):
            tokens.extend(self._encoding.encode_ordinary(segment))
        return tokens

    def count(self, text: str) -> int:
        """Count the tokens of a text."""
        return sum(len(self._encoding.encode_ordinary(segment)) for segment in _segments(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Give the text of tokens; bytes that are no UTF-8 become U+FFFD.

        Raises:
            ValueError: a number is no token of this encoding.
        """
        try:
            return self._encoding.decode(list(tokens))
        except (KeyError, OverflowError) as error:
            raise ValueError(f"{self.name} has no such token: {error}") from error

    def token_spans(self, text: str) -> NDArray[np.int64]:
        """Give `[n_tokens, 2] int64`: the characters, start and end (exclusive), of each token.

        The spans follow each other without a gap from 0 to `len(text)`, on whole characters. A character whose bytes
        are shared by several tokens belongs to the first of them; the others have the empty span behind it.
        """
        text = _without_surrogates(text)
        encode = self._encoding.encode_to_numpy  # no list of Python numbers in between
        segments = [encode(segment, disallowed_special=()) for segment in _segments(text)]
        tokens = np.concatenate(segments) if segments else np.zeros(0, dtype=np.uint32)
        byte_ends = np.cumsum(self._n_bytes[tokens])
        if text.isascii():
            ends = byte_ends
        else:
            characters = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
            starts_before = np.cumsum((characters & 0xC0) != 0x80, dtype=np.int32)  # a number for each byte
            ends = starts_before[byte_ends - 1].astype(np.int64)
        spans = np.zeros((len(ends), 2), dtype=np.int64)
        spans[:, 1] = ends
        spans[1:, 0] = ends[:-1]
        return spans


_loaded: dict[EncodingName, Tokenizer] = {}
_loading = threading.Lock()


def tokenizer(name: EncodingName = DEFAULT_ENCODING) -> Tokenizer:
    """Give an encoding, read from disk at its first use (0.4 s).

    Raises:
        ConfigurationError: the vocabulary is not where it should be, or is not the published one.
    """
    with _loading:
        if name not in _loaded:
            _loaded[name] = load_tokenizer(name, _vocabulary_folder())
        return _loaded[name]


def load_tokenizer(name: EncodingName, folder: Path) -> Tokenizer:
    """Read an encoding from a folder that names vocabularies as tiktoken's cache does.

    Raises:
        ConfigurationError: the name is unknown, the file is missing, or its bytes are not the published ones.
    """
    if name not in _VOCABULARIES:
        raise ConfigurationError(f"Unknown encoding {name!r}: it must be one of {', '.join(map(repr, _VOCABULARIES))}.")
    vocabulary = _VOCABULARIES[name]
    path = folder / hashlib.sha1(vocabulary.address.encode(), usedforsecurity=False).hexdigest()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The vocabulary of {name} cannot be read from {str(path)!r} ({error.strerror}); it is part of litellm's "
            "package and is never downloaded. Install litellm again: pip install --force-reinstall litellm==1.90.0"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != vocabulary.sha256:
        raise ConfigurationError(
            f"The vocabulary of {name} in {str(path)!r} is not the published one: its SHA-256 is {digest}, expected "
            f"{vocabulary.sha256}. Install litellm again: pip install --force-reinstall litellm==1.90.0"
        )
    return Tokenizer(name, ranks=_ranks(data), pattern=vocabulary.pattern)


def count(text: str, encoding: EncodingName = DEFAULT_ENCODING) -> int:
    """Count the tokens of a text."""
    return tokenizer(encoding).count(text)


def token_spans(text: str, encoding: EncodingName = DEFAULT_ENCODING) -> NDArray[np.int64]:
    """Give `[n_tokens, 2] int64`: the characters of each token; see `Tokenizer.token_spans`."""
    return tokenizer(encoding).token_spans(text)


def _vocabulary_folder() -> Path:
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "Counting tokens needs the vocabularies inside litellm's package, and litellm is not installed. "
            "Install it with: pip install litellm==1.90.0"
        )
    return Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"


def _ranks(data: bytes) -> dict[bytes, int]:
    try:
        return {binascii.a2b_base64(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    except ValueError as error:  # cannot happen to the published bytes
        raise ConfigurationError(f"A vocabulary cannot be read: {error}.") from error


def _without_surrogates(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def _segments(text: str) -> Iterator[str]:
    """Cut a text into segments whose tokens, one after the other, are the tokens of the text.

    Only a segment without any place to cut (a word of thousands of characters, a long run of blanks) is cut anywhere.
    """
    start = 0
    while len(text) - start > SEGMENT_CHARACTERS:
        end = start + SEGMENT_CHARACTERS
        end = _harmless_cut(text, end) or end
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _harmless_cut(text: str, end: int) -> int | None:
    """Give the last place at or shortly before `end` where a letter is followed by something that ends its token.

    In both patterns letters are followed within a token only by letters, by marks, or by an apostrophe's contraction.
    """
    for at in range(end, max(end - _BACKTRACK_CHARACTERS, 0), -1):
        after = text[at]
        if not after.isalpha() and text[at - 1].isalpha() and after != "'" and unicodedata.category(after)[0] != "M":
            return at
    return None
