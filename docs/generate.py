"""Rewrite every generated page: `python docs/generate.py`; with `--check`, only say which are stale.

Settings, commands, errors and the map of modules are read from the code. The coverage page asks the `openai` SDK for
its methods, calls each against a transport that answers nothing, and looks whether the server has a route for what it
sent.
"""

import ast
import inspect
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin

import click
import httpx
import openai
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.applications import Starlette
from starlette.routing import Match, Route

from localassist import errors
from localassist.cli.exits import MEANINGS
from localassist.cli.main import COMMANDS, cli
from localassist.config import ModelSettings, Settings
from localassist.server.app import build_app
from localassist.wiring import Engine

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
NOTE: Final = "<!-- Made by docs/generate.py: change the code, then run `make docs`. -->\n"
BEGIN: Final = "<!-- modules: made by docs/generate.py -->"
END: Final = "<!-- end of modules -->"

FLOWS: Final = {
    "retrieval": "parse chunk embed ingest content segment index analyze lexical dense search fuse rerank select "
    "retriever cite filters catalogue model",
    "runs": "lifecycle conversation prompt request turn live steps loop events",
    "store": "database versions schema pages blobs assistants threads messages runs events files uploads vector_stores "
    "answers jobs fences",
    "cli": "main options exits logs terminal flow session paths library sources progress answers ask add search chat "
    "files serve models doctor trial",
}
"""Folders that are listed in the order of their story; what is not named here follows by name."""

RESOURCES: Final = (
    "beta.assistants",
    "beta.threads",
    "beta.threads.messages",
    "beta.threads.runs",
    "beta.threads.runs.steps",
    "files",
    "vector_stores",
    "vector_stores.files",
    "vector_stores.file_batches",
    "uploads",
    "uploads.parts",
    "models",
    "chat.completions",
    "embeddings",
)
"""The SDK's resources that belong to the Assistants API and to what programs use beside it."""

DIFFERENT: Final = {
    "models.delete": "different: always refused; models are named in the settings",
    **dict.fromkeys(
        [f"chat.completions.{name}" for name in ("retrieve", "update", "list", "delete")],
        "different: not served; completions are not stored",
    ),
}


# ---- settings


def settings_page() -> str:
    """Give `docs/settings.md`."""
    lines = [
        "# Settings",
        NOTE,
        "Each setting can be given in four ways; the first that is there counts: an option of the command line or an",
        "argument of `localassist.OpenAI(…)`; an environment variable; a line of the settings file; the default.",
        "",
        "The settings file is TOML: `localassist.toml` in the working directory, or the file that `LOCALASSIST_CONFIG`",
        "names. Lists and tables in an environment variable are written as JSON.",
        "",
        "```toml",
        'home = "/srv/localassist"',
        'model = "ollama/llama3.2"',
        'allow_hosts = ["models.example.com:443"]',
        "",
        '[models."qwen3"]',
        'model = "qwen3"',
        'base_url = "http://127.0.0.1:8080/v1"',
        "```",
        "",
        "| Setting | Environment | Default | What it is |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{name}` | `LOCALASSIST_{name.upper()}` | {_default(field)} | {_cell(field.description)} |")
    lines += ["", "## A model under a name of its own: `[models.NAME]`", "", "| Field | Type | Default | What it is |"]
    lines.append("|---|---|---|---|")
    for name, field in ModelSettings.model_fields.items():
        default = "(must be given)" if field.is_required() else _default(field)
        lines.append(f"| `{name}` | {_type(field.annotation)} | {default} | {_cell(field.description)} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value == [] or value == {}:
        return "not set"
    return f"`{value}`"


def _type(annotation: Any) -> str:
    if get_origin(annotation) is UnionType:
        return " or ".join(_type(part) for part in get_args(annotation) if part is not type(None))
    if get_args(annotation):
        return ", ".join(f"`{part}`" for part in get_args(annotation))
    return f"`{annotation.__name__}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


# ---- the command line


def cli_page() -> str:
    """Give `docs/cli.md`."""
    lines = [
        "# The command line",
        NOTE,
        "Results go to stdout, everything else (progress, notes, errors) to stderr. Colours and progress bars appear",
        "on a terminal only; `NO_COLOR=1` turns colours off there too. With `--json` a command prints one JSON",
        "document and nothing else. `-v` before the command shows the log.",
        "",
        "| Exit code | Meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()),
        "",
        "```text",
        _help(cli, "localassist"),
        "```",
    ]
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if command is not None:
            lines += ["", f"## `localassist {name}`", "", "```text", _help(command, f"localassist {name}"), "```"]
    return "\n".join(lines) + "\n"


def _help(command: click.Command, name: str) -> str:
    context = click.Context(
        command,
        info_name=name,
        help_option_names=["-h", "--help"],
        max_content_width=110,
        terminal_width=110,
        color=False,
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


# ---- errors


def errors_page() -> str:
    """Give `docs/errors.md`."""
    tree = inspect.getdoc(errors) or ""
    lines = [
        "# Errors",
        NOTE,
        "A message says what was wrong, what is allowed, and what to do. Over HTTP an error has the API's body,",
        '`{"error": {"message", "type", "param", "code"}}`, and the SDK raises its own class for the status: a program',
        "that caught the hosted service's errors catches these.",
        "",
        "```text",
        tree.split("\n\n", 1)[1].strip(),
        "```",
        "",
        "| Class | Status | `type` | When |",
        "|---|---|---|---|",
    ]
    for name, cls in vars(errors).items():
        if inspect.isclass(cls) and issubclass(cls, errors.LocalAssistError):
            status = str(cls.status) if issubclass(cls, errors.APIError) else ""
            kind = f"`{cls.type}`" if issubclass(cls, errors.APIError) else ""
            lines.append(
                f"| `{name}` | {status} | {kind} | {_cell((inspect.getdoc(cls) or '').split(chr(10) * 2)[0])} |"
            )
    lines += [
        "",
        "A file that cannot be indexed has `status` `failed` and a `last_error` with one of the codes "
        + _codes(errors.IngestionCode)
        + "; a run that failed, one of "
        + _codes(errors.ModelCode)
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _codes(literal: Any) -> str:
    return ", ".join(f"`{code}`" for code in get_args(literal))


# ---- coverage


class Operation(BaseModel):
    """A method of the SDK, and the request it sends; no request when it is made of other methods."""

    method: str
    request: str | None
    is_served: bool


def coverage_page() -> str:
    """Give `docs/coverage.md`."""
    operations = list(_operations())
    sent = [o for o in operations if o.request is not None]
    served, major = sum(o.is_served and o.method not in DIFFERENT for o in sent), openai.__version__.split(".")[0]
    lines = [
        "# Coverage of the API",
        NOTE,
        f"{served} of {len(sent)} operations are served, as the SDK `openai` {major}.x asks for them.",
        "Every method was called once, and the server",
        "asked whether it has a route for what was sent. Methods without a request of their own (`create_and_poll`,",
        "`stream`, `upload_and_poll` …) are made of these and work where they do; `tests/contract/` drives them.",
        "",
        "| SDK method | Request | |",
        "|---|---|---|",
    ]
    for operation in operations:
        if operation.request is not None:
            state = DIFFERENT.get(operation.method, "done" if operation.is_served else "**missing**")
            lines.append(f"| `client.{operation.method}` | `{operation.request}` | {state} |")
    made_of = ", ".join(f"`{o.method.removeprefix('beta.')}`" for o in operations if o.request is None)
    lines += ["", f"Made of these by the SDK: {made_of}.", "", "## Tools", "", "| Tool | |", "|---|---|"]
    lines += [
        "| `file_search` | done |",
        "| `function` | done |",
        "| `code_interpreter` | **missing**: a run that asks for it is refused in plain words |",
        "",
        "Programs of the beta of 2023 (`OpenAI-Beta: assistants=v1`: `retrieval`, files of assistants and messages)",
        "are served too; `tests/contract/test_v1.py` drives them with the SDKs of the time.",
        "Where we decided or differ stands in [differences.md](differences.md).",
    ]
    return "\n".join(lines) + "\n"


def _operations() -> Iterator[Operation]:
    sent: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(418, json={})

    client = openai.OpenAI(
        api_key="none",
        base_url="http://local/v1",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(note)),
    )
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        app = build_app(Engine(settings), settings)
        for resource in RESOURCES:
            owner: Any = client
            for part in resource.split("."):
                owner = getattr(owner, part)
            for name in _methods(type(owner)):
                sent.clear()
                _call(getattr(owner, name))
                yield _operation(f"{resource}.{name}", sent, app, is_helper=_is_helper(name))


def _methods(cls: type) -> Iterable[str]:
    return [n for n, member in vars(cls).items() if inspect.isfunction(member) and not n.startswith(("_", "with_"))]


def _is_helper(name: str) -> bool:
    """Tell whether a method is made of others: it polls, streams or uploads around them."""
    return bool(re.search(r"poll|stream|^upload|wait_for|chunked", name))


def _call(method: Callable[..., Any]) -> None:
    if _is_helper(method.__name__):
        return
    arguments: dict[str, Any] = {}
    warnings.simplefilter("ignore", DeprecationWarning)  # the SDK marks every Assistants call as deprecated
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            arguments[name] = b"x" if name in {"file", "data"} else {"name": "ID"}.get(name, "ID")
    if method.__name__ == "create" and "file_ids" in inspect.signature(method).parameters:
        arguments["file_ids"] = ["ID"]
    try:
        result = method(
            **{name: ["ID"] if name in {"tool_outputs", "part_ids"} else v for name, v in arguments.items()}
        )
        for _ in result if inspect.isgenerator(result) else ():
            break
    except openai.APIStatusError:
        pass  # the answer is always 418: only the request matters


def _operation(method: str, sent: list[httpx.Request], app: Starlette, *, is_helper: bool) -> Operation:
    if is_helper or not sent:
        return Operation(method=method, request=None, is_served=False)
    request = sent[0]
    path = request.url.path.removeprefix("/v1")
    scope = {"type": "http", "method": request.method, "path": path, "root_path": "", "headers": []}
    served = any(isinstance(route, Route) and route.matches(scope)[0] is Match.FULL for route in app.routes)
    return Operation(method=method, request=f"{request.method} {path.replace('ID', '{id}')}", is_served=served)


# ---- the map


def architecture_page() -> str:
    """Give `docs/architecture.md`: its own text, with the list of modules made anew."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_modules()}{END}{after}"


def _modules() -> str:
    package = ROOT / "localassist"
    folders: dict[str, list[Path]] = {}
    for path in package.rglob("*.py"):
        folders.setdefault(path.parent.relative_to(package).as_posix(), []).append(path)
    lines = []
    for folder in sorted(folders, key=lambda name: (name != ".", name)):
        lines += [
            "",
            f"### {'localassist/' if folder == '.' else f'localassist/{folder}/'}",
            "",
            "| Module | |",
            "|---|---|",
        ]
        order = {f"{name}.py": n for n, name in enumerate(FLOWS.get(folder, "").split())}
        for path in sorted(folders[folder], key=lambda p: (p.name != "__init__.py", order.get(p.name, 99), p.name)):
            lines.append(f"| `{path.relative_to(ROOT).as_posix()}` | {_cell(_first_sentence(path))} |")
    return "\n".join([*lines, "", ""])


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n\n", 1)[0]


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "errors.md": errors_page,
    "coverage.md": coverage_page,
    "architecture.md": architecture_page,
}


def stale() -> list[str]:
    """Name the pages that are not what the code says."""
    return [name for name, make in PAGES.items() if not _is_fresh(DOCS / name, make())]


def _is_fresh(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Write the pages, or with `--check` say which are stale."""
    if "--check" in sys.argv[1:]:
        names = stale()
        print(f"Stale: {', '.join(names)}. Run `make docs`." if names else "Every generated page is fresh.")
        return 1 if names else 0
    for name in stale():
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
