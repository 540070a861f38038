"""The log on stderr: for those who ask for it, and for whoever runs a server."""

import logging
import sys


def show_log(level: int) -> None:
    """Write log records of at least this level to stderr, unless that was set up already."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    ):  # requests to the engine in this process: none of the user's
        logging.getLogger(name).setLevel(logging.WARNING)


def is_verbose() -> bool:
    """Tell whether the log was asked for."""
    return logging.getLogger(__name__).isEnabledFor(logging.INFO)
