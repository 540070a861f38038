"""Text that streams onto a terminal."""

import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from localassist.cli.flow import Flow


def written(pieces: list[str], *, width: int, terminal: bool = True) -> str:
    file = io.StringIO()
    flow = Flow(Console(file=file, width=width, force_terminal=terminal, color_system=None, legacy_windows=False))
    for piece in pieces:
        flow.write(piece)
    flow.end()
    return file.getvalue()


def test_lines_break_between_words() -> None:
    assert (
        written(["The fire wa", "tch stays for 60 ", "minutes."], width=12)
        == "The fire\nwatch stays\nfor 60\nminutes.\n"
    )


def test_chinese_breaks_anywhere_but_not_before_its_full_stop() -> None:
    assert written(["守塔人每四小时。"], width=14) == "守塔人每四小\n时。\n"


def test_nothing_is_broken_without_a_terminal() -> None:
    text = "word " * 50 + "end"

    assert written([text], width=20, terminal=False) == text + "\n"


@given(
    text=st.text("ab 漢。\n", max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=5),
    width=st.integers(4, 20),
)
def test_nothing_is_lost_lines_fit_and_the_pieces_do_not_matter(text: str, cuts: list[int], width: int) -> None:
    borders = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in pairwise(borders)]

    shown = written(pieces, width=width)

    assert shown == written([text], width=width)
    assert "".join(shown.split()) == "".join(text.split())
    words = [word for line in shown.splitlines() for word in line.split(" ")]
    longest = max((cell_len(word) for word in words), default=0)
    assert all(cell_len(line) <= max(width, longest) for line in shown.splitlines())
