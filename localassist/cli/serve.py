"""`localassist serve`: the Assistants API over HTTP."""

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from localassist._version import __version__
from localassist.cli.exits import DONE
from localassist.cli.logs import show_log
from localassist.cli.options import EMBEDDER, load_settings, settings_options
from localassist.cli.terminal import err
from localassist.config import EXTRACTIVE

if TYPE_CHECKING:
    from localassist.config import Settings

HELP = """Serve the Assistants API over HTTP.

A program written with the `openai` SDK uses it by `base_url="http://127.0.0.1:8000/v1"` (or the environment variable
OPENAI_BASE_URL) and any key. A model name that the settings do not list is served by --model. `GET /health` answers 200
once requests are served. Every option is also an environment variable (LOCALASSIST_MODEL=…) and a line of
localassist.toml.

\b
Examples:
  localassist serve
  localassist serve --home ./state --port 9000 --model ollama/llama3.2
  localassist serve --model qwen3 --model-base-url http://127.0.0.1:8080/v1
"""


@click.command(help=HELP)
@settings_options("home", "host", "port", "model", "model_base_url", "model_api_key", "api_key", "adapter")
@settings_options("allow_hosts", "database_url", *EMBEDDER)
def serve(**given: Any) -> int:
    """Serve until a signal ends it; see `HELP`."""
    settings = load_settings(given)
    show_log(logging.WARNING)
    server = importlib.import_module("localassist.server.serve")
    asyncio.run(server.serve(settings, on_ready=lambda url: _announce(url, settings)))
    return DONE


def _announce(url: str, settings: "Settings") -> None:
    console = err()
    console.print(Text.assemble(f"localassist {__version__} serves ", (f"{url}/v1", "file")))
    console.print(Text(f"  home   {settings.home}", style="faint"))
    where = f" at {settings.model_base_url}" if settings.model_base_url else ""
    note = " (quotations; name a language model with --model)" if settings.model == EXTRACTIVE else ""
    console.print(Text(f"  model  {settings.model}{where}{note}", style="faint"))
    console.print(Text("Ctrl-C ends it.", style="faint"))
