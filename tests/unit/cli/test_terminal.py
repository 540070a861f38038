"""What people see, and what a terminal must not obey."""

import contextlib
import io
import os
import pty
import termios
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from localassist.cli.answers import clipped
from localassist.cli.escapes import plain
from localassist.cli.terminal import without_echo


@given(text=st.text(st.characters(codec=None)))
def test_nothing_that_a_terminal_obeys_is_left_in_a_text(text: str) -> None:
    for written in (plain(text), clipped(text)):
        assert not {unicodedata.category(character) for character in written} & {"Cc", "Cs", "Zl", "Zp"}
        assert not set(written) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")


@given(text=st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_a_text_of_letters_signs_and_figures_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_escapes_are_readable_and_line_ends_can_be_kept() -> None:
    assert plain("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc"
    assert plain("a\nb\x07", keep="\n") == "a\nb\\x07"
    assert plain("latin\udce9") == "latin\\xe9"


def test_what_is_typed_during_an_answer_is_not_echoed_and_not_lost() -> None:
    keyboard, end = pty.openpty()
    with os.fdopen(end, encoding="utf-8") as terminal:
        with contextlib.suppress(KeyboardInterrupt), without_echo(terminal):
            assert not termios.tcgetattr(terminal)[3] & termios.ECHO
            os.write(keyboard, b"next question\n")
            raise KeyboardInterrupt
        assert termios.tcgetattr(terminal)[3] & termios.ECHO
        assert terminal.readline() == "next question\n"
    os.close(keyboard)


def test_without_a_terminal_there_is_no_echo_to_turn_off() -> None:
    with without_echo(io.StringIO("a line\n")):
        pass
