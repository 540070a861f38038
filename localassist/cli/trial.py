"""The main job on two small texts in a throw-away home: a file comes in, a cited answer comes out.

Run as a program, it does so with every connection outside this machine refused and written down:
`python -m localassist.cli.trial` prints one JSON document. `localassist doctor --offline` calls it in a network
namespace of its own where the system allows that.
"""

import importlib
import socket
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from localassist.cli.answers import Reader, ask
from localassist.cli.library import Held, Library
from localassist.cli.paths import LocalFile, identify
from localassist.cli.session import opened
from localassist.config import EXTRACTIVE, Settings
from localassist.egress import Egress
from localassist.errors import EgressError, LocalAssistError

_TEXTS: Final = {
    "lighthouse.md": (
        "# The lighthouse\n\nThe lamp is lit at dusk.\n\n"
        "The keeper trims the wick every four hours, and writes it into the log.\n\n"
        "## Visitors\n\nGuided tours begin at ten o'clock and cost six crowns.\n"
    ),
    "灯塔.txt": "灯塔建于一八七二年,高三十一米。\n守塔人每四小时修剪一次灯芯。\n",
}
_QUESTIONS: Final = {"How often does the keeper trim the wick?": "four hours", "灯塔有多高?": "三十一米"}


class TrialError(LocalAssistError):
    """The job came to an end, but not to the right one."""


@dataclass(slots=True)
class Trial:
    """What a trial came to, and how long its parts took."""

    is_good: bool = False
    error: str | None = None
    start_s: float = 0.0
    index_s: float = 0.0
    ask_s: float = 0.0
    n_citations: int = 0
    attempts: list[str] = field(default_factory=list)
    """Connections and lookups outside this machine that something tried; refused before a socket opened."""


class _Silent:
    """A watcher that says nothing."""

    def begins(self, files: Any) -> None:
        """Take the files that are about to be indexed."""

    def finished(self, file: Held) -> None:
        """Take a file that is done."""


def run_trial(**options: Any) -> Trial:
    """Do the main job in a throw-away home, with the embedded model and otherwise the settings in force."""
    trial = Trial()
    try:
        with tempfile.TemporaryDirectory(prefix="localassist-trial-", ignore_cleanup_errors=True) as folder:
            _work(trial, Path(folder), options)
        trial.is_good = True
    except (LocalAssistError, OSError, RuntimeError, ValueError) as error:
        trial.error = f"{error}" or type(error).__name__
    except Exception as error:  # noqa: BLE001 - the SDK's errors, which this module must not import; all are reported
        trial.error = f"{type(error).__name__}: {error}"
    return trial


def _work(trial: Trial, folder: Path, options: dict[str, Any]) -> None:
    began = time.perf_counter()
    settings = Settings.load(**{**options, "home": folder / "home", "model": EXTRACTIVE})
    settings = settings.model_copy(update={"database_url": None})
    with opened(settings) as client:
        trial.start_s = time.perf_counter() - began
        library = Library(client)
        began = time.perf_counter()
        report = library.sync(library.for_paths([folder]), _write(folder), _Silent(), only_these=True)
        trial.index_s = time.perf_counter() - began
        if report.failed:
            raise TrialError("; ".join(f"{held.path}: {held.error}" for held in report.failed))
        began = time.perf_counter()
        for question, expected in _QUESTIONS.items():
            reader = Reader(report.paths)
            for _ in ask(client, model=EXTRACTIVE, store_id=report.store_id, question=question, reader=reader):
                pass  # the reader keeps what is said
            trial.n_citations += len(reader.answer.citations)
            if expected not in reader.answer.text or not reader.answer.citations:
                raise TrialError(f"{question!r} was answered with {reader.answer.text!r}, without a citation of it.")
        trial.ask_s = (time.perf_counter() - began) / len(_QUESTIONS)


def _write(folder: Path) -> list[LocalFile]:
    texts = folder / "texts"
    texts.mkdir()
    for name, text in _TEXTS.items():
        (texts / name).write_text(text, encoding="utf-8")
    return [identify(texts / name) for name in _TEXTS]


def refuse_and_record(attempts: list[str]) -> None:
    """From now on refuse every lookup and connection outside this machine, and write each into `attempts`."""
    this_machine = Egress()
    lookups = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
    sends = {"socket.connect", "socket.sendto", "socket.sendmsg"}

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in lookups:
            host = arguments[0]
        elif event in sends and arguments[0].family in {socket.AF_INET, socket.AF_INET6} and arguments[1]:
            host = arguments[1][0]
        else:
            return
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "localhost")
        if not this_machine.allows(name):
            attempts.append(f"{event.removeprefix('socket.')} {name}")
            raise EgressError(name)

    sys.addaudithook(audit)


def main() -> None:
    """Do the job with the network refused, load litellm too as a run would, and print what came of it."""
    attempts: list[str] = []
    refuse_and_record(attempts)
    trial = run_trial()
    try:
        wiring = importlib.import_module("localassist.wiring.models")
        settings = Settings.load(model="ollama/llama3.2", adapter="litellm")
        wiring.model_router(settings, Egress()).info("llama3.2")
    except ImportError as error:
        trial.is_good, trial.error = False, trial.error or f"litellm cannot be loaded: {error}"
    trial.attempts = attempts
    sys.stdout.buffer.write(orjson.dumps(asdict(trial)))


if __name__ == "__main__":
    main()
