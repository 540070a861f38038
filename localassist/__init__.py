"""A local home for programs written for the OpenAI Assistants API.

`localassist.OpenAI(home="…")` is the `openai` SDK's own client over an engine in this process; `localassist serve` is
the same engine behind HTTP. Importing this package loads nothing heavy: the names below are fetched when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from localassist._version import __version__

if TYPE_CHECKING:
    from localassist import errors
    from localassist.config import Settings
    from localassist.local import AsyncOpenAI, OpenAI

__all__ = ["AsyncOpenAI", "OpenAI", "Settings", "__version__", "errors"]

_HOME = {"AsyncOpenAI": "localassist.local", "OpenAI": "localassist.local", "Settings": "localassist.config"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("localassist.errors")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'localassist' has no attribute {name!r}")
