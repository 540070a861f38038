"""What is said beside the answers: how to put a language model behind them, and whether its server answers."""

import socket
from typing import Final

import httpx
from rich.text import Text

from localassist.cli.terminal import err
from localassist.config import EXTRACTIVE, Settings
from localassist.egress import Egress
from localassist.errors import ConfigurationError

_PROBE_TIMEOUT_S: Final = 2.0
_HINTED: Final = ".model-hint-given"
_COMMANDS: Final = ("--model ollama/llama3.2", "--model NAME --model-base-url http://127.0.0.1:8080/v1")


def hint_model(settings: Settings, *, after_answer: bool = False) -> None:
    """Say on a terminal that answers are quotations, and how to change that: at length only once in a home."""
    console = err()
    if settings.model != EXTRACTIVE or not console.is_terminal:
        return
    if after_answer:
        console.print()
    if not _is_first_time(settings):
        console.print(Text("--model puts a language model behind the answers.", style="faint"))
        return
    console.print(Text("These are quotations: no language model is configured. To put one behind them:", "faint"))
    for command in _COMMANDS:
        console.print(Text(f"  {command}", style="faint"), soft_wrap=True)


def check_model_server(settings: Settings) -> None:
    """Look whether the server of the model that was asked for takes connections, before anything else is done.

    Raises:
        ConfigurationError: nothing listens there.
        EgressError: the settings do not allow its host.
    """
    named = settings.models.get(settings.model)
    url = named.base_url if named is not None else settings.model_base_url
    if settings.model == EXTRACTIVE or not url:
        return
    place = httpx.URL(url)
    Egress([*settings.allow_hosts, url]).check(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.host, port), timeout=_PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigurationError(
            f"No model server answers at {url} ({error.strerror or error}). Start it, or name another with "
            "--model-base-url."
        ) from error


def _is_first_time(settings: Settings) -> bool:
    try:
        (settings.home / _HINTED).touch(exist_ok=False)
    except OSError:  # it is there already, or cannot be written
        return False
    return True
