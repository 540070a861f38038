"""What people and programs see: text on stdout, everything else on stderr, colours only on a terminal."""

import sys
from typing import Any, Final

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
