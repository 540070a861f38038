"""Text into the sentences that can be quoted, in Latin script and in Chinese and Japanese."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

_MAX_HEADING: Final = 90
_MAX_SENTENCE: Final = 600
_MUCH_LONGER: Final = 1.5
_ASKS: Final = "?？"
_TABLE_RULE: Final = re.compile(r"[\s|:+]*-[-\s|:+]*\|[-\s|:+]*$")
_ENDS: Final = '.!?…。！？;:：；"”’»」』)）】'
_CLOSERS: Final = '"”’»)\\]）」』】'
_LATIN_END: Final = re.compile(rf"(?<=[.!?…])[“{_CLOSERS}]*\s+(?=[^\sa-zß-öø-ÿ])")
_CJK_END: Final = re.compile(rf"[。！？]+[{_CLOSERS}]*")
_CJK: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]")
_ITEM: Final = re.compile(r"\s*(?:[-*+•‣·–]|\(?\d{1,3}[.)]|\(?[a-z]\))\s+\S")
_HASHES: Final = re.compile(r"\s{0,3}#{1,6}\s+")
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(])(?:[A-Za-zÀ-ÿ]|\d{1,2}|Dr|Mr|Mrs|Ms|Prof|St|Nr|No|Art|Abs|bzw|ca|vgl|etc|Inc|Ltd|Co|Fig|vs|Sra?"
    r"|Mme|Tel|e\.g|i\.e|z\.\s?B|d\.\s?h|p\.\s?ex|u\.\s?a|U\.S)\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of text that can be quoted, with single spaces; the heading above it; and whether it is whole.

    `columns` are the names of the columns where it is the row of a table and they are known.
    """

    text: str
    heading: str = ""
    whole: bool = True
    columns: str = ""


@dataclass(frozen=True, slots=True)
class _Unit:
    """A paragraph, list item, table row or heading, on one line; `ruled`: a rule of the table stands below it."""

    text: str
    is_heading: bool = False
    ruled: bool = False


def sentences(passage: str) -> list[Sentence]:
    """Cut a passage into sentences, list items and table rows, in reading order; headings go with what stands below.

    The first and the last may be parts of sentences, where the passage was cut out of its document.
    """
    found: list[Sentence] = []
    heading = columns = shown = ""
    units = list(_units(passage))
    for i, unit in enumerate(units):
        below = units[i + 1] if i + 1 < len(units) else None
        if not _is_row(unit.text):
            columns = shown = ""
        elif not columns and below is not None and _is_row(below.text):
            columns = unit.text  # the first row names the columns, and stands above the others like a heading
            shown = _cells(columns) if unit.ruled or (i and not any(c.isdigit() for c in columns)) else ""
            continue
        if _heads(unit, units[i + 1 :]):
            heading = f"{heading} {unit.text}".strip() if not found or found[-1].heading != heading else unit.text
            continue
        found += [Sentence(text, f"{heading} {columns}".strip(), columns=shown) for text in _split(unit.text)]
    if found:
        first, last = found[0], found[-1]
        if first.text[:1].islower():
            found[0] = replace(first, whole=False)
        if len(found) > 1 and last.text[-1] not in _ENDS and not _is_row(last.text):
            found[-1] = replace(last, whole=False)
    return found


def _heads(unit: _Unit, below: Sequence[_Unit]) -> bool:
    """Tell whether something stands below a heading; below a question, at once."""
    if unit.text[-1] in _ASKS:
        return unit.is_heading and bool(below) and not below[0].is_heading
    return unit.is_heading and not all(other.is_heading for other in below)


def _units(passage: str) -> Iterator[_Unit]:
    """Yield paragraphs, list items, table rows and headings, each on one line."""
    lines: list[str] = []
    every = [*passage.splitlines(), ""]
    for line, below in itertools.pairwise([*every, ""]):
        alone = _HASHES.match(line) or _is_row(line)
        begins = _stands_above(lines, line) or (_is_done(lines) and _stands_above([line.strip()], below))
        if lines and (_is_rule(line) or alone or _ITEM.match(line) or begins):
            text = _joined(lines)
            yield _Unit(text, len(lines) == 1 and _is_heading(text))
            lines = []
        if _is_rule(line):
            continue
        if alone:
            is_heading = not _is_row(line)
            text = (_HASHES.sub("", line, count=1) if is_heading else line).strip()
            yield _Unit(text, is_heading, ruled=bool(_TABLE_RULE.match(below)))
        else:
            lines.append(line.strip())


def _is_done(lines: Sequence[str]) -> bool:
    """Tell whether what was collected ends with the end of a sentence."""
    return bool(lines) and lines[-1][-1] in _ENDS


def _cells(row: str) -> str:
    """Write a row of names without the marks at its borders."""
    return " | ".join(cell for part in re.split(r"[|\t]", row) if (cell := part.strip()))


def _joined(lines: list[str]) -> str:
    """Join lines that were broken for the page: with a space, or with nothing between Chinese or Japanese."""
    text = lines[0]
    for line in lines[1:]:
        text += line if _CJK.match(text[-1]) and _CJK.match(line[0]) else f" {line}"
    return " ".join(text.split())


def _split(text: str) -> Iterator[str]:
    """Cut a paragraph at the ends of its sentences, but not behind abbreviations and ordinals."""
    start = 0
    latin = [(m.start(), m.end()) for m in _LATIN_END.finditer(text)]
    for end, next_start in sorted(latin + [(m.end(), m.end()) for m in _CJK_END.finditer(text)]):
        piece = text[start:next_start].strip()
        if end < start or not piece or _ABBREVIATION.search(text[start:end]):
            continue
        yield from _fitting(piece)
        start = next_start
    if rest := text[start:].strip():
        yield from _fitting(rest)


def _fitting(text: str) -> Iterator[str]:
    """Cut what is too long to quote: behind a comma or a space where there is one."""
    while len(text) > _MAX_SENTENCE:
        end = max(text.rfind(mark, 1, _MAX_SENTENCE) for mark in " ,;，、；") + 1 or _MAX_SENTENCE
        yield text[:end].strip()
        text = text[end:].strip()
    if text:
        yield text


def _is_heading(text: str) -> bool:
    """Tell whether a line reads like a heading: short and without an end, or one question."""
    if len(text) > _MAX_HEADING or _ITEM.match(text) or (text[-1] in _ENDS and text[-1] not in _ASKS):
        return False
    return not (_LATIN_END.search(text) or _CJK_END.search(text[:-1]))


def _stands_above(lines: list[str], line: str) -> bool:
    """Tell whether a single line is a heading above `line`: short, without an end, before one that begins anew."""
    line = line.strip()
    if len(lines) != 1 or not line or not lines[0]:
        return False
    anew = line[0].isupper() or bool(_CJK.match(line))
    return anew and _begins(lines[0]) and _is_heading(lines[0]) and len(line) > _MUCH_LONGER * len(lines[0])


def _begins(text: str) -> bool:
    """Tell whether a line begins something, rather than going on with the line before it."""
    return text[0].isupper() or text[0].isdigit() or bool(_CJK.match(text))


def _is_row(line: str) -> bool:
    return line.count("|") >= 2 or line.count("\t") >= 1


def _is_rule(line: str) -> bool:
    """Tell whether a line has nothing to read: empty, or dashes, or punctuation alone."""
    return not any(character.isalnum() for character in line)
