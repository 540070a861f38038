"""Text into the sentences that can be quoted, in Latin script and in Chinese and Japanese."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MAX_HEADING: Final = 90
_MAX_SENTENCE: Final = 600
_MUCH_LONGER: Final = 1.5
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
    """A piece of text that can be quoted, with single spaces; the heading above it; and whether it is whole."""

    text: str
    heading: str = ""
    whole: bool = True


def sentences(passage: str) -> list[Sentence]:
    """Cut a passage into sentences, list items and table rows, in reading order; headings go with what stands below.

    The first and the last may be parts of sentences, where the passage was cut out of its document.
    """
    found: list[Sentence] = []
    heading = columns = ""
    units = list(_units(passage))
    for i, (unit, is_heading) in enumerate(units):
        if not _is_row(unit):
            columns = ""
        elif not columns and i + 1 < len(units) and _is_row(units[i + 1][0]):
            columns = unit  # the first row names the columns, and stands above the others like a heading
            continue
        if is_heading and not all(other for _, other in units[i:]):  # something stands below it
            heading = f"{heading} {unit}".strip() if not found or found[-1].heading != heading else unit
            continue
        found += [Sentence(text, f"{heading} {columns}".strip()) for text in _split(unit)]
    if found:
        first, last = found[0], found[-1]
        if first.text[:1].islower():
            found[0] = Sentence(first.text, first.heading, whole=False)
        if len(found) > 1 and last.text[-1] not in _ENDS and not _is_row(last.text):
            found[-1] = Sentence(last.text, last.heading, whole=False)
    return found


def _units(passage: str) -> Iterator[tuple[str, bool]]:
    """Yield paragraphs, list items and table rows, each on one line, and whether it is a heading."""
    lines: list[str] = []
    for line in [*passage.splitlines(), ""]:
        alone = _HASHES.match(line) or _is_row(line)
        if lines and (_is_rule(line) or alone or _ITEM.match(line) or _stands_above(lines, line)):
            text = _joined(lines)
            yield text, len(lines) == 1 and _is_heading(text)
            lines = []
        if _is_rule(line):
            continue
        if alone:
            is_heading = not _is_row(line)
            yield (_HASHES.sub("", line, count=1) if is_heading else line).strip(), is_heading
        else:
            lines.append(line.strip())


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
    if len(text) > _MAX_HEADING or text[-1] in _ENDS or _ITEM.match(text):
        return False
    return not (_LATIN_END.search(text) or _CJK_END.search(text))


def _stands_above(lines: list[str], line: str) -> bool:
    """Tell whether a single line is a heading above `line`: short, without an end, before one that begins anew."""
    return (
        len(lines) == 1
        and _is_heading(lines[0])
        and line.strip()[:1].isupper()
        and len(line.strip()) > _MUCH_LONGER * len(lines[0])
    )


def _is_row(line: str) -> bool:
    return line.count("|") >= 2 or line.count("\t") >= 1


def _is_rule(line: str) -> bool:
    """Tell whether a line has nothing to read: empty, or dashes, or punctuation alone."""
    return not any(character.isalnum() for character in line)
