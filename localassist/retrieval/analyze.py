"""Text to terms: lower case, English stems without stop words, and pairs of characters where no blanks divide words."""

import re
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import Stemmer
from numpy.typing import NDArray

ANALYZER_VERSION: Final = 1
"""Changes with anything here that changes the terms of a text: terms on disk of another version are not used."""

_UNSPACED: Final = (
    "\u3005-\u3007\u3021-\u3029"  # ideographic iteration mark, closing mark, zero and numerals
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana, also of half width
    "\u3105-\u312f\u31a0-\u31bf"  # bopomofo
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb\uffa0-\uffdc"  # hangul
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # han
)
_RUNS: Final = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|[^\\W_{_UNSPACED}]+")

_STOP_WORDS: Final = frozenset(
    """
    a about above after again against all am an and any are as at be because been before being below between both
    but by can could d did do does doing don down during each few for from further had has have having he her here
    hers herself him himself his how i if in into is it its itself just ll m me more most my myself no nor not now o
    of off on once only or other our ours ourselves out over own re s same she should so some such t than that the
    their theirs them themselves then there these they this those through to too under until up ve very was we were
    what when where which while who whom why will with would you your yours yourself yourselves
    """.split()  # noqa: SIM905 - a list of 140 quoted words is harder to read
)


_MAX_WORD_CHARACTERS: Final = 64
"""Of a longer run, which is data rather than a word, only the beginning counts."""


@dataclass(frozen=True, slots=True)
class AnalyzedText:
    """The terms of a text in reading order, each term written once.

    Attributes:
        vocabulary: the distinct terms, by number.
        terms: `[n_terms] int64`, the number of each term of the text.
        starts: `[n_terms] int64`, the character at which each begins; never decreases.
    """

    vocabulary: list[str]
    terms: NDArray[np.int64]
    starts: NDArray[np.int64]


def terms(text: str) -> list[str]:
    """Give the terms of a text in reading order.

    A term is a run of letters and digits in lower case, without the stop words of English, reduced to its English stem.
    Runs of Chinese, Japanese or Korean characters stand apart and give each pair of neighbours; a lone one stays.
    Letters and digits of full width count as their plain ones.
    """
    analyzed = analyze_text(text)
    return [analyzed.vocabulary[term] for term in analyzed.terms.tolist()]


def analyze_text(text: str) -> AnalyzedText:
    """Give the terms of `terms` with their places; a long text costs about a microsecond a term."""
    stemmer = Stemmer.Stemmer("english")  # not shared: a stemmer is not safe to use from two threads
    numbers: dict[str, int] = {}
    known: dict[str, int] = {}  # raw word to number; -1 for a stop word
    found, starts = array("i"), array("i")  # a list would hold an object of 28 bytes for each number
    for raw, start, unspaced in _raw_terms(text):
        number = known.get(raw)
        if number is None:
            term = raw if unspaced else _normal(raw, stemmer)
            number = numbers.setdefault(term, len(numbers)) if term else -1
            known[raw] = number
        if number >= 0:
            found.append(number)
            starts.append(start)
    terms_found, places = (np.frombuffer(numbers_, np.intc).astype(np.int64) for numbers_ in (found, starts))
    return AnalyzedText(list(numbers), terms_found, places)


def has_words(text: str) -> bool:
    """Tell whether a text holds any letter or digit."""
    return _RUNS.search(text) is not None


def _raw_terms(text: str) -> Iterator[tuple[str, int, bool]]:
    for match in _RUNS.finditer(text):
        run, start = match.group(), match.start()
        if match.lastgroup is None:
            yield run[:_MAX_WORD_CHARACTERS], start, False
        elif len(run) == 1:
            yield run, start, True
        else:
            for i in range(len(run) - 1):
                yield run[i : i + 2], start + i, True


def _normal(word: str, stemmer: Stemmer.Stemmer) -> str:
    if not word.isascii():
        word = unicodedata.normalize("NFKC", word)
    word = word.lower()
    return "" if word in _STOP_WORDS else str(stemmer.stemWord(word))
