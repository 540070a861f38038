"""The exit codes that scripts can rely on; `docs/cli.md` lists them."""

from typing import Final

DONE: Final = 0
"""Everything was done."""

WENT_WRONG: Final = 1
"""Nothing was done; stderr says why."""

WRONG_USE: Final = 2
"""The command line was wrong: an unknown option, a path that is not there."""

SOME_FILES_FAILED: Final = 3
"""The command did its work, but at least one file could not be indexed; stderr names each, and why."""

NOTHING_FOUND: Final = 4
"""The search found no passage, or the answer cites none but the nearest for want of a better one."""

INTERRUPTED: Final = 130
"""Stopped by Ctrl-C."""

MEANINGS: Final = {
    DONE: "everything was done",
    WENT_WRONG: "an error; stderr says what was wrong and what to do",
    WRONG_USE: "the command line was wrong: an unknown option, a path that is not there",
    SOME_FILES_FAILED: "done, but at least one file could not be indexed; stderr names each, and why",
    NOTHING_FOUND: "no passage was found; the answer cites none, or only the nearest for want of a better one",
    INTERRUPTED: "stopped with Ctrl-C",
}
