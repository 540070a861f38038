"""What people and programs see: text on stdout, everything else on stderr, colours only on a terminal."""

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

import orjson
from rich.console import Console
from rich.theme import Theme

_THEME: Final = Theme(
    {
        "mark": "bold cyan",
        "file": "bold",
        "page": "cyan",
        "quote": "italic",
        "faint": "dim",
        "good": "green",
        "warn": "yellow",
        "bad": "bold red",
        "score": "magenta",
    }
)


def out() -> Console:
    """Give the console of stdout; piped text is not wrapped, so that programs read whole lines."""
    return _console(stderr=False)


def err() -> Console:
    """Give the console of stderr."""
    return _console(stderr=True)


@contextmanager
def waiting(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show on a terminal what is being waited for, as long as it lasts."""
    console = err()
    if quiet or not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def without_echo(terminal: TextIO) -> Iterator[None]:
    """Keep what is typed meanwhile out of the output; whoever reads next takes it up. No terminal: do nothing."""
    if not terminal.isatty():
        yield
        return
    before = termios.tcgetattr(terminal)
    quiet = termios.tcgetattr(terminal)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def count(n: int, noun: str) -> str:
    """Write a number with its noun: `1 file`, `2,000 files`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 100_000
    return Console(
        stderr=stderr,
        theme=_THEME,
        highlight=False,
        emoji=False,
        markup=False,
        width=width,
        soft_wrap=width is not None,
    )
