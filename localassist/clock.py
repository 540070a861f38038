"""The time, in one place, so that a test can set it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_source: Callable[[], float] = time.time


def now() -> float:
    """Give the time in Unix seconds, with its fraction."""
    return _source()


def now_s() -> int:
    """Give the time in whole Unix seconds, as the API writes it."""
    return int(_source())


@contextmanager
def frozen(at: Callable[[], float]) -> Iterator[None]:
    """Let `at` be the clock inside the block; for tests."""
    global _source
    previous, _source = _source, at
    try:
        yield
    finally:
        _source = previous
