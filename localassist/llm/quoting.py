"""A question and numbered passages, to the sentences that answer it best."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from localassist.llm.languages import ALL_STOP_WORDS
from localassist.llm.sentences import Sentence, sentences

_HEAD: Final = re.compile(r"^(【\d+:\d+†[^】\n]*】)[^\n]*\n?", re.MULTILINE)
_RUN: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]+|[^\W_]+")
_IS_CJK: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")
_FUNCTION: Final = frozenset("的了是在和与吗呢吧么什怎哪几多少谁何时候有请问我你他她它们这那个可以能要不也都就会到对")
_HIRAGANA: Final = re.compile(r"[\u3040-\u309f]+")
_ASKS_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|long|often|old|far|high)\b|\bwhen\b|\bwhat (?:year|date|percentage|price|time)\b"
    r"|\bwie ?(?:viele?|lange?|oft|hoch)\b|\bwann\b|\bcombien\b|\bquand\b|\bcu[aá]nt[oa]s?\b|\bcu[aá]ndo\b"
    r"|多少|几|多长|多久|何时|什么时候|いつ|いくつ|いくら|何[日時年月人回円歳個泊]",
    re.IGNORECASE,
)
_QUESTION_END: Final = re.compile(r"[?？]+")
_HEADING_SHARE: Final = 0.4
_NEIGHBOUR_SHARE: Final = 0.15
_NUMBER_BONUS: Final = 0.15
_RANK_BONUS: Final = 0.15
_PART_FACTOR: Final = 0.75
_NOT_FAR_BELOW: Final = 0.75
_CODE_FACTOR: Final = 3.0


@dataclass(frozen=True, slots=True)
class Passage:
    """A numbered source: the mark that cites it, and its text."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Quotation:
    """A sentence, the mark of the source it stands in, and how well it answers: above 0 if it shares words.

    `columns` are the names of the columns, where it is the row of a table and they are known.
    """

    text: str
    mark: str
    score: float
    columns: str = ""


def read_passages(text: str) -> list[Passage]:
    """Find the numbered sources in a text: each begins with a line `【4:0†name】 …` and ends where the next begins."""
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)] if heads else []
    return [Passage(head[1], text[head.end() : end].strip()) for head, end in zip(heads, ends, strict=True)]


def terms(text: str) -> list[str]:
    """Give the words that matter, shortened so that their forms meet; for Chinese and Japanese, pairs of characters.

    Stop words and pairs of function characters are left out. Shortening to six letters is crude, and good enough among
    the few dozen sentences that a search has already chosen.
    """
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if _IS_CJK.match(run):
            pairs = [run[i : i + 2] for i in range(len(run) - 1)] or [run]
            found += [p for p in pairs if not (_HIRAGANA.fullmatch(p) or all(c in _FUNCTION for c in p))]
        elif run not in ALL_STOP_WORDS:
            found.append(_short(run))
    return found


def choose(question: str, passages: Sequence[Passage], *, limit: int = 4) -> list[Quotation]:
    """Pick the sentences that share most with the question, best first; at most `limit`, none twice.

    Several questions in one are answered one after the other.
    """
    parts = [part for part in _QUESTION_END.split(question) if terms(part)]
    if len(parts) < 2:
        return _choose(question, passages, limit)
    found = [q for part in parts for q in _choose(part, passages, max(1, limit // len(parts)))]
    return list({quotation.text: quotation for quotation in reversed(found)}.values())[::-1][:limit]


def _choose(question: str, passages: Sequence[Passage], limit: int) -> list[Quotation]:
    """Pick the sentences that share most with one question.

    A sentence scores the share of the question's words that it holds, each weighted by how rare it is among the
    sentences at hand; less for words in its heading or its neighbours; more in a passage that the search ranked higher,
    and for a number where a number is asked for. If no sentence shares a word, the result is empty.
    """
    wanted = set(terms(question))
    units = _units(passages)
    if not wanted or not units:
        return []
    bags = [set(terms(sentence.text)) for _, sentence in units]
    frequency = Counter(term for bag in bags for term in bag & wanted)
    weight = {term: _idf(frequency[term], len(units)) * (_CODE_FACTOR if _is_code(term) else 1) for term in wanted}
    total = sum(weight.values())
    present = _weight(wanted.intersection(set().union(*bags, *(terms(s.heading) for _, s in units))), weight)
    asks_number = bool(_ASKS_NUMBER.search(question))
    scored: list[tuple[float, int]] = []
    for i, (rank, sentence) in enumerate(units):
        own = bags[i] & wanted
        above = set(terms(sentence.heading)) & wanted - own
        near = {t for j in (i - 1, i + 1) if 0 <= j < len(units) and units[j][0] == rank for t in bags[j] & wanted}
        score = _weight(own, weight) + _HEADING_SHARE * _weight(above, weight)
        score = (score + _NEIGHBOUR_SHARE * _weight(near - own - above, weight)) / total
        if not own and _weight(above, weight) <= present / 2:  # a heading must hold most of what is found at all
            continue
        score += _RANK_BONUS * score / (1 + rank)
        if asks_number and any(c.isdigit() for c in sentence.text):
            score += _NUMBER_BONUS * score
        scored.append((score if sentence.whole else score * _PART_FACTOR, i))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return _best(scored, units, passages, bags, limit)


def opening(passages: Sequence[Passage]) -> Quotation | None:
    """Give the first whole sentence of the first passage: what the search found nearest."""
    for passage in passages[:1]:
        found = sentences(passage.text)
        whole = [s for s in found if s.whole] or found
        if whole:
            return Quotation(whole[0].text, passage.mark, 0.0, whole[0].columns)
    return None


def _units(passages: Sequence[Passage]) -> list[tuple[int, Sentence]]:
    return [(rank, s) for rank, passage in enumerate(passages) for s in sentences(passage.text)]


def _best(
    scored: Sequence[tuple[float, int]],
    units: Sequence[tuple[int, Sentence]],
    passages: Sequence[Passage],
    bags: Sequence[set[str]],
    limit: int,
) -> list[Quotation]:
    """Take from the top what is not far below the best and is no near-copy of what was taken."""
    taken: list[Quotation] = []
    held: list[set[str]] = []
    for score, i in scored:
        if len(taken) == limit or score < _NOT_FAR_BELOW * scored[0][0]:
            break
        if any(len(bags[i] & other) >= 0.8 * min(len(bags[i]), len(other)) for other in held):
            continue
        rank, sentence = units[i]
        taken.append(Quotation(sentence.text, passages[rank].mark, score, sentence.columns))
        held.append(bags[i])
    return taken


def _idf(n_with: int, n: int) -> float:
    """Give log(1 + (n - n_with + ½) / (n_with + ½)).

    Source:
        Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, doi:10.1561/1500000019.
    """
    return math.log(1 + (n - n_with + 0.5) / (n_with + 0.5))


def _is_code(term: str) -> bool:
    """Tell whether a word names one thing only, like `e31` or `a4`: letters and digits in one."""
    return any(c.isdigit() for c in term) and any(c.isalpha() for c in term)


def _weight(some: set[str], weight: dict[str, float]) -> float:
    return sum(weight[term] for term in some)


def _short(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return plain[:6]
