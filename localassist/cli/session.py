"""A client over an engine in this process, for the length of one command."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localassist.cli.terminal import waiting
from localassist.config import Settings

if TYPE_CHECKING:
    from localassist.local import OpenAI
    from localassist.retrieval.model import Progress

    ProgressListener = Callable[[str, Progress], None]
    """Called with a file's id and how far it is, from the thread that indexes it."""


@contextmanager
def opened(
    settings: Settings, *, on_progress: "ProgressListener | None" = None, quiet: bool = False
) -> "Iterator[OpenAI]":
    """Open the home of `settings` and close it again; the SDK is loaded here, and not for a command's help."""
    with waiting("starting …", quiet=quiet):
        local = importlib.import_module("localassist.local")
        opening = local.OpenAI(settings=settings, on_progress=on_progress, max_retries=0)
    with opening as client:
        yield client
