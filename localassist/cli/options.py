"""Options that commands share; each is a field of `Settings`, and its help is the field's own description."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from localassist.config import Settings

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_TYPES: dict[str, Any] = {
    "home": click.Path(file_okay=False, path_type=Path),
    "models_folder": click.Path(file_okay=False, path_type=Path),
    "port": click.IntRange(0, 65535),
    "adapter": click.Choice(["auto", "direct", "litellm"]),
}
_METAVARS = {"home": "DIR", "models_folder": "DIR", "port": "PORT", "host": "ADDRESS", "api_key": "KEY"}
_METAVARS |= {"model": "NAME", "model_base_url": "URL", "model_api_key": "KEY", "database_url": "URL"}
_METAVARS |= {"allow_hosts": "HOST", "embedder": "NAME", "embedder_base_url": "URL"}
_NAMES = {"allow_hosts": "--allow-host"}

HOME = ("home", "database_url")
MODEL = ("model", "model_base_url", "model_api_key", "adapter", "allow_hosts")
EMBEDDER = ("embedder", "embedder_base_url", "models_folder")


def settings_options(*names: str) -> Callable[[CommandT], CommandT]:
    """Give a command one option for each of these settings; it receives them by name, None where not given."""

    def decorate(command: CommandT) -> CommandT:
        for name in reversed(names):
            command = _option(name)(command)
        return command

    return decorate


def json_option(command: CommandT) -> CommandT:
    """Give a command `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")(
        command
    )


def load_settings(given: dict[str, Any]) -> Settings:
    """Read the settings: the options that were given, then the environment, then the settings file.

    Raises:
        ConfigurationError: a setting cannot be used.
    """
    return Settings.load(
        **{name: value or None if isinstance(value, tuple) else value for name, value in given.items()}
    )


def _option(name: str) -> Callable[[CommandT], CommandT]:
    field = Settings.model_fields[name]
    default = field.get_default(call_default_factory=True)
    shown = f"  [default: {default}]" if default not in (None, [], {}) else ""
    help_text = (field.description or "").replace("`", "") + shown
    many = name in _NAMES
    return click.option(
        _NAMES.get(name, "--" + name.replace("_", "-")),
        name,
        type=_TYPES.get(name, str),
        multiple=many,
        metavar=_METAVARS.get(name),
        help=help_text + (" May be given several times." if many else ""),
    )
