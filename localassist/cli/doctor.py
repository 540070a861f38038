"""`localassist doctor`: what works here, what is missing, and the command that mends it."""

import errno
import importlib
import importlib.util
import os
import platform
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import click
import httpx
import orjson
from rich.table import Table
from rich.text import Text

from localassist._version import __version__
from localassist.cli.exits import DONE, WENT_WRONG
from localassist.cli.options import EMBEDDER, HOME, MODEL, json_option, load_settings, settings_options
from localassist.cli.terminal import err, out, print_json
from localassist.cli.trial import Trial, run_trial
from localassist.config import EXTRACTIVE, Settings, settings_file
from localassist.egress import Egress
from localassist.errors import ConfigurationError, MissingDependencyError
from localassist.retrieval.catalogue import Catalogue

HELP = """Say what works here, what is missing, and the command that mends it.

--offline proves that nothing would be fetched: the main job (a file in, a cited answer out) runs in a process in which
every connection outside this machine is refused and reported; where the system allows it, in a network namespace
without any network. The exit code is 1 when something does not work.
"""

State = Literal["ok", "note", "broken"]
_SIGNS: Final = {"ok": ("✓", "good"), "note": ("–", "warn"), "broken": ("✗", "bad")}
_MIN_FREE_BYTES: Final = 1 << 30
_TRIAL_TIMEOUT_S: Final = 180
_MODEL_TIMEOUT_S: Final = 3.0
_OTHER_HOST: Final = "localassist serve --host 127.0.0.1, or 0.0.0.0 for every network"
_POSTGRES_PORT: Final = 5432


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` is a command or a sentence, where there is something to mend."""

    name: str
    state: State
    detail: str
    mend: str = ""


_NOT_TRIED: Final = Check("main job", "note", "not tried: there is no embedding model to try it with")


@click.command(help=HELP)
@click.option("--offline", is_flag=True, help="Prove that nothing would be fetched.")
@settings_options(*HOME, *MODEL, *EMBEDDER)
@json_option
def doctor(*, offline: bool, as_json: bool, **given: Any) -> int:
    """Look at everything and say what was found; see `HELP`."""
    try:
        settings = load_settings(given)
    except ConfigurationError as error:
        return _end([Check("settings", "broken", str(error))], as_json=as_json)
    with err().status("Trying the main job …") if err().is_terminal and not as_json else nullcontext():
        checks = [check_offline()] if offline else check_everything(settings, given)
    return _end(checks, as_json=as_json)


def _end(checks: list[Check], *, as_json: bool) -> int:
    if as_json:
        print_json({"version": __version__, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    return WENT_WRONG if any(check.state == "broken" for check in checks) else DONE


def check_everything(settings: Settings, given: dict[str, Any]) -> list[Check]:
    """Look at everything that the settings ask for."""
    options = {name: given[name] for name in EMBEDDER if given.get(name) is not None}
    embedder = check_embedder(settings)
    return [
        check_python(),
        Check("settings", "ok", f"read from {settings_file()}" if settings_file() else "defaults and environment"),
        check_home(settings.home),
        check_database(settings),
        embedder,
        check_trial(run_trial(**options)) if embedder.state != "broken" else _NOT_TRIED,
        check_model(settings),
        check_port(settings),
        *check_extras(settings),
    ]


def check_python() -> Check:
    """Look at the interpreter and the package."""
    detail = f"localassist {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return Check("program", "ok", detail)


def check_home(home: Path) -> Check:
    """Look whether the home can be written to, and has room."""
    place = home
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        return Check("home", "broken", f"{home} cannot be written to", "Choose another: --home DIR")
    free = shutil.disk_usage(place).free
    detail = f"{home}{'' if home.exists() else ' (made when first used)'}, {free / (1 << 30):,.1f} GiB free"
    if free < _MIN_FREE_BYTES:
        return Check("home", "note", detail, "Make room, or choose another: --home DIR")
    return Check("home", "ok", detail)


def check_database(settings: Settings) -> Check:
    """Look whether the database of the settings can be used."""
    path = settings.sqlite_path
    if settings.database_url is None:
        if not path.is_file():
            return Check("database", "note", f"SQLite in {path}, made when first used")
        return Check("database", "ok", f"SQLite, {path.stat().st_size / (1 << 20):,.1f} MiB in {path}")
    database = importlib.import_module("localassist.store.database")
    try:
        where = database.Database(settings.database_url).where
    except (ConfigurationError, MissingDependencyError) as error:
        mend = install_command("postgres") if isinstance(error, MissingDependencyError) else ""
        return Check("database", "broken", str(error), mend)
    url = urlsplit(settings.database_url)
    if url.scheme == "sqlite":
        return Check("database", "ok", f"SQLite in {where}")
    host, port = url.hostname or "localhost", url.port or _POSTGRES_PORT
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        detail = f"PostgreSQL at {host}:{port} does not answer: {error}"
        return Check("database", "broken", detail, "Start it, or correct --database-url")
    return Check("database", "ok", f"PostgreSQL at {host}:{port} answers")


def check_embedder(settings: Settings) -> Check:
    """Look whether the embedding model's files are here and the right ones."""
    try:
        importlib.import_module("localassist.wiring.checks").check_embedder(settings)
        if settings.embedder.startswith("remote:"):
            where = settings.embedder_base_url or "its provider"
            return Check("embedding", "note", f"{settings.embedder} at {where}: texts are sent there")
        model = Catalogue([settings.models_folder] if settings.models_folder else []).open(settings.embedder)
    except ConfigurationError as error:
        return Check("embedding", "broken", str(error), "localassist models --verify")
    languages = ", ".join(model.card.languages).replace("*", "every language")
    return Check("embedding", "ok", f"{model.card.name}, verified ({languages}; others by their words)")


def check_trial(trial: Trial) -> Check:
    """Tell what the main job in a throw-away home came to."""
    if not trial.is_good:
        return Check("main job", "broken", trial.error or "failed", "localassist -vv doctor")
    detail = f"2 files in, {trial.n_citations} citations out: start {trial.start_s:.1f} s, "
    return Check("main job", "ok", detail + f"index {trial.index_s:.1f} s, an answer {trial.ask_s:.2f} s")


def check_model(settings: Settings) -> Check:
    """Look whether the language model's server answers; only a URL that was named is contacted."""
    if settings.model == EXTRACTIVE:
        mend = "localassist serve --model ollama/llama3.2, or --model NAME --model-base-url URL"
        return Check("language model", "note", "none: answers are quotations", mend)
    try:
        importlib.import_module("localassist.wiring.checks").check_models(settings)
    except ConfigurationError as error:
        return Check("language model", "broken", str(error))
    if settings.model_base_url is None:
        return Check("language model", "note", f"{settings.model} through litellm; not contacted now")
    url = settings.model_base_url.rstrip("/") + "/models"
    headers = {"authorization": f"Bearer {settings.model_api_key}"} if settings.model_api_key else {}
    try:
        answer = httpx.get(url, headers=headers, timeout=_MODEL_TIMEOUT_S, trust_env=False)
        answer.raise_for_status()
        names = [str(item.get("id")) for item in answer.json().get("data", [])]
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        detail = f"{url} does not answer as it should: {words}"
        return Check("language model", "broken", detail, "Start the model server, or correct --model-base-url")
    if names and settings.model not in names:
        detail = f"{url} answers, but does not list {settings.model!r}"
        return Check("language model", "note", detail, f"It lists: {', '.join(names[:8])}")
    return Check("language model", "ok", f"{settings.model} at {settings.model_base_url}")


def check_port(settings: Settings) -> Check:
    """Look whether `serve` could listen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
                return Check("port", "broken", f"{settings.host} is not an address of this machine", _OTHER_HOST)
            detail = f"{settings.host}:{settings.port} is not free ({error.strerror}): is it being served already?"
            return Check("port", "note", detail, "localassist serve --port 0 takes a free one")
    return Check("port", "ok", f"{settings.host}:{settings.port} is free for `localassist serve`")


def check_extras(settings: Settings) -> list[Check]:
    """Look at what is optional."""
    extras = []
    for module, extra, purpose in (
        ("psycopg", "postgres", "state in PostgreSQL"),
        ("sentence_transformers", "sentence-transformers", "embedding models without an ONNX file"),
    ):
        if importlib.util.find_spec(module) is not None:
            extras.append(Check(extra, "ok", f"installed: {purpose}"))
        else:
            extras.append(Check(extra, "note", f"not installed: {purpose}", install_command(extra)))
    this_machine = Egress()
    urls = (settings.model_base_url, settings.embedder_base_url, *(m.base_url for m in settings.models.values()))
    named = [*settings.allow_hosts, *(urlsplit(url).hostname or url for url in urls if url)]
    public = list(dict.fromkeys(host for host in named if not this_machine.allows(host)))
    told = " and ".join(part for part in ("only this machine", ", ".join(public)) if part)
    return [*extras, Check("privacy", "ok", f"contacts {told}", "localassist doctor --offline proves it")]


def install_command(extra: str) -> str:
    """Give the command that installs what is optional: from the checkout that this is, if it is one."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"cd {shlex.quote(str(checkout))} && {shlex.quote(sys.executable)} -m pip install '.[{extra}]'"
    return f"{shlex.quote(sys.executable)} -m pip install '.[{extra}]', in a checkout of localassist {__version__}"


def check_offline() -> Check:
    """Do the main job in a process without a network, and tell what it tried to reach."""
    prefix = _without_network()
    command = [*prefix, sys.executable, "-m", "localassist.cli.trial"]
    where = "in a network namespace without a network" if prefix else "with every Python connection refused"
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TRIAL_TIMEOUT_S, check=False)  # noqa: S603 - our own program
        trial = Trial(**orjson.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError, TypeError) as error:
        return Check("offline", "broken", f"the trial did not come to an end: {error}", "localassist -vv doctor")
    if trial.attempts:
        tried = ", ".join(dict.fromkeys(trial.attempts))
        return Check("offline", "broken", f"tried to reach: {tried} (refused)", "Please report this")
    if not trial.is_good:
        return Check("offline", "broken", trial.error or "failed", "localassist -vv doctor")
    detail = f"2 files in, {trial.n_citations} citations out, {where}; nothing tried to connect"
    return Check("offline", "ok", detail)


def _without_network() -> list[str]:
    """Give the words that run a program in an empty network namespace; none where the system does not allow it."""
    unshare = shutil.which("unshare")
    for prefix in ([unshare, "--net"], [unshare, "--map-root-user", "--net"]) if unshare else ():
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603 - found above
            return [str(word) for word in prefix]
    return []


def _print(checks: list[Check]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        sign, style = _SIGNS[check.state]
        detail = Text(check.detail)
        if check.mend:
            detail.append(f"\n→ {check.mend}", style="faint")
        table.add_row(Text(sign, style=style), check.name, detail)
    out().print(table)
