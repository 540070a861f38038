"""Every option, once: its unit, its default, its environment name and one sentence.

The only module that reads the environment. `docs/settings.md` is made from the fields below.
"""

import json
import os
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from localassist.errors import ConfigurationError

EXTRACTIVE = "localassist/extractive"
"""The name of the embedded default, which answers by quotation and needs no language model."""

_PREFIX: Final = "LOCALASSIST_"
_CONFIG: Final = "LOCALASSIST_CONFIG"
_OF_TESTS: Final = "LOCALASSIST_TEST_"


def _web_address(value: str | None) -> str | None:
    """Let a base URL pass.

    Raises:
        ValueError: it is none.
    """
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not a URL that begins with http:// or https:// and a host")
    return value


WebAddress = Annotated[str | None, AfterValidator(_web_address)]
"""The base URL of a server, or None."""


class ModelSettings(BaseModel):
    """One model under a name of its own, in the table `[models.NAME]` of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(description="The name its server knows it by, e.g. `ollama/llama3.2` or `qwen3`.")]
    base_url: Annotated[WebAddress, Field(description="The OpenAI-compatible URL it is served under.")] = None
    api_key: Annotated[str | None, Field(description="The key its server wants.")] = None
    context_tokens: Annotated[int | None, Field(ge=256, description="Tokens of its context window.")] = None
    supports_tools: Annotated[bool | None, Field(description="Whether it can call tools.")] = None
    adapter: Annotated[
        Literal["auto", "direct", "litellm"], Field(description="How it is called; see the setting `adapter`.")
    ] = "auto"


class Settings(BaseSettings):
    """All options. Read once, passed down as values."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix=_PREFIX, env_nested_delimiter="__", protected_namespaces=()
    )

    home: Annotated[Path, Field(description="The folder that holds the database, the files and the indexes.")] = Path(
        "~/.localassist"
    )
    database_url: Annotated[
        str | None,
        Field(description="A PostgreSQL URL (`postgresql://user@host/name`); SQLite inside `home` when not set."),
    ] = None
    host: Annotated[str, Field(description="The address `serve` listens on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port `serve` listens on; 0 takes a free one.")] = 8000
    api_key: Annotated[
        str | None, Field(description="The bearer key clients must send; any key is accepted when not set.")
    ] = None

    model: Annotated[
        str,
        Field(
            description="The model that serves every name not listed in `models`: `ollama/llama3.2`, "
            "`openai/gpt-4o`, a name served under `model_base_url`, or the embedded `localassist/extractive`."
        ),
    ] = EXTRACTIVE
    model_base_url: Annotated[
        WebAddress, Field(description="The OpenAI-compatible URL of `model`, e.g. `http://127.0.0.1:11434/v1`.")
    ] = None
    model_api_key: Annotated[str | None, Field(description="The key that the model's server wants.")] = None
    model_context_tokens: Annotated[
        int | None, Field(ge=256, description="Tokens of the model's context; learnt from its errors when not set.")
    ] = None
    model_supports_tools: Annotated[
        bool | None,
        Field(
            description="Whether the model can call tools; when false, search results are put into its prompt instead."
        ),
    ] = None
    models: Annotated[
        dict[str, ModelSettings], Field(default_factory=dict, description="Models under names of their own.")
    ]
    adapter: Annotated[
        Literal["auto", "direct", "litellm"],
        Field(
            description="How models are called: `direct` speaks to an OpenAI-compatible URL, `litellm` to every "
            "provider; `auto` is direct when a base URL is given and the name has no other provider's prefix."
        ),
    ] = "auto"
    model_timeout_s: Annotated[float, Field(gt=0, description="Seconds a model may stay silent.")] = 120.0

    allow_hosts: Annotated[
        list[str],
        NoDecode,
        Field(
            default_factory=list,
            description="Hosts that may be contacted beside this machine and `model_base_url`; "
            "`*.example.com` allows every name below it.",
        ),
    ]

    embedder: Annotated[
        str,
        Field(
            description="The embedding model: a name in `localassist models`, a local sentence-transformers folder, "
            "or `remote:NAME` at `embedder_base_url`."
        ),
    ] = "all-MiniLM-L6-v2"
    embedder_base_url: Annotated[
        WebAddress, Field(description="The OpenAI-compatible URL of a remote embedding model.")
    ] = None
    embedder_api_key: Annotated[str | None, Field(description="The key that the embedding server wants.")] = None
    embedder_threads: Annotated[
        int, Field(ge=0, description="Threads of one embedding; 0 takes every core of the machine.")
    ] = 0
    models_folder: Annotated[
        Path | None, Field(description="A folder with more models, beside those that ship with localassist.")
    ] = None

    run_workers: Annotated[int, Field(ge=0, description="Runs carried out at once by one process.")] = 64
    ingest_workers: Annotated[int, Field(ge=0, description="Files indexed at once by one process.")] = 1
    lease_s: Annotated[
        float, Field(gt=0, description="Seconds after which the work of a silent process is taken over.")
    ] = 10.0
    run_timeout_s: Annotated[int, Field(gt=0, description="Seconds until a run expires, as in the API.")] = 600
    model_retries: Annotated[
        int, Field(ge=0, description="Times a failed model call is tried again within the run's time.")
    ] = 3
    max_turns: Annotated[int, Field(ge=1, description="Model calls of one run, at most.")] = 32

    parse_timeout_s: Annotated[float, Field(gt=0, description="Seconds that reading one file may take.")] = 300.0
    parse_memory_bytes: Annotated[
        int, Field(ge=268_435_456, description="Bytes of memory that reading one file may take.")
    ] = 2 * 1024**3
    max_file_tokens: Annotated[int, Field(ge=1, description="Tokens of one file, at most, as in the API.")] = 5_000_000
    max_file_bytes: Annotated[int, Field(ge=1, description="Bytes of one file, at most, as in the API.")] = (
        512 * 1024**2
    )

    @field_validator("home", "models_folder", mode="after")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("models_folder", mode="after")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("is not a folder")
        return value

    @field_validator("allow_hosts", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Read a list from the environment: as JSON, or as hosts with commas between them."""
        if not isinstance(value, str) or value.lstrip().startswith("["):
            return _from_json(value) if isinstance(value, str) else value
        return [host.strip() for host in value.split(",") if host.strip()]

    @field_validator("allow_hosts", mode="after")
    @classmethod
    def _are_hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if "://" in host:
                raise ValueError(f"holds the URL {host!r}; give its host alone: {urlsplit(host).netloc or 'HOST'}")
        return value

    @property
    def sqlite_path(self) -> Path:
        """Where the database lies when `database_url` is not set."""
        return self.home / "localassist.db"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before the environment, the environment before the settings file."""
        file = settings_file()
        toml = (TomlConfigSettingsSource(settings_cls, file),) if file is not None else ()
        return (init_settings, env_settings, *toml)

    @classmethod
    def load(cls, **arguments: Any) -> Self:
        """Read the options: arguments that are not None, then the environment, then the settings file.

        Raises:
            ConfigurationError: an option has a value that cannot be used, or the settings file an unknown name.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        _check_file()
        _check_environment()
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from error
        if settings.model_base_url and "model" not in settings.model_fields_set:
            raise ConfigurationError(
                f"model_base_url is {settings.model_base_url}, but no model is named. Name the one to use there with "
                "--model NAME or LOCALASSIST_MODEL=NAME."
            )
        return settings


def settings_file() -> Path | None:
    """Give the settings file: `LOCALASSIST_CONFIG`, else `localassist.toml` in the working directory, or None."""
    named = os.environ.get(_CONFIG)
    if named:
        return Path(named)
    here = Path("localassist.toml")
    return here if here.is_file() else None


def packaged_data() -> Path:
    """Give the folder that holds `models/`: inside the installed package, or the root of a source checkout."""
    package = Path(__file__).parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent


def quiet_litellm() -> None:
    """Make litellm use its own price list and report nothing; call it before litellm is imported."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_TELEMETRY"] = "False"
    os.environ.setdefault("LITELLM_LOG", "ERROR")


def quiet_onnxruntime() -> None:
    """Keep onnxruntime from reporting to its maker; call it before onnxruntime is imported.

    Since 1.29 its import starts a thread that sends telemetry through sockets of its own, unseen by a guard in Python,
    and its own `disable_telemetry_events()` comes too late. With this variable it starts nothing and writes nothing.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


# ---- what is wrong with a setting


_WRONG: Final[Mapping[str, str]] = {
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "dict_type": "is not a table",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "less_than_equal": "must be at most {le}",
    "list_type": "is not a list",
    "literal_error": "is none of {expected}",
    "model_attributes_type": "is not a table",
    "model_type": "is not a table",
    "path_type": "is not a path",
    "string_type": "is not a text",
    "value_error": "{error}",
}
"""What pydantic's kinds of errors mean to the person who wrote the setting."""

_EXAMPLES: Final[Mapping[str, str]] = {
    "allow_hosts": 'allow_hosts = ["api.openai.com", "*.example.com"]',
    "base_url": 'base_url = "http://127.0.0.1:8080/v1"',
    "embedder_base_url": 'embedder_base_url = "http://127.0.0.1:8080/v1"',
    "model_base_url": 'model_base_url = "http://127.0.0.1:11434/v1"',
    "models": '[models.small] with the line model = "ollama/llama3.2"',
}
_MODELS_AS_JSON: Final = '{"small": {"model": "qwen3", "base_url": "http://127.0.0.1:8080/v1"}}'


def _explain(error: ValidationError) -> str:
    lines = [_explain_one(problem) for problem in error.errors()]
    return "Settings that cannot be used:\n  " + "\n  ".join(lines)


def _explain_one(problem: Any) -> str:
    place = [str(part) for part in problem["loc"]]
    name = ".".join(place)
    model = ModelSettings if len(place) > 2 else Settings
    if problem["type"] == "extra_forbidden":
        return f"{name} is no setting.{_did_you_mean(place[-1], model.model_fields)}"
    known = model.model_fields.get(place[-1])
    if problem["type"] == "missing":
        return f"{name} is missing. {known.description if known else ''}".rstrip()
    wrong = _WRONG.get(problem["type"])
    words = wrong.format(**problem.get("ctx", {})) if wrong else problem["msg"]
    example = _EXAMPLES.get(place[-1]) or _EXAMPLES.get(place[0] if len(place) < 3 else "", "")
    if not example and known is not None and known.default is not None:
        example = f"{place[-1]} = {json.dumps(known.default, default=str)}"
    where = f"set by {_PREFIX}{'__'.join(place).upper()}, an option, an argument or the settings file"
    given = problem["input"]
    shown = repr(str(given) if isinstance(given, Path) else given)
    return f"{name} = {shown} {words} ({where}).{f' Example: {example}' if example else ''}"


def _did_you_mean(name: str, known: Collection[str], *, prefix: str = "") -> str:
    """Suggest the known name that is nearest, or list all of them."""
    if near := get_close_matches(name, known, n=1, cutoff=0.7):
        return f" Did you mean {prefix}{near[0]}?"
    return f" Known are: {', '.join(sorted(prefix + one for one in known))}."


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error


def _check_file() -> None:
    """Refuse a settings file that cannot be read, and names in it that are no settings.

    Raises:
        ConfigurationError: so it is.
    """
    file = settings_file()
    if file is None:
        return
    named = f", which {_CONFIG} names," if os.environ.get(_CONFIG) else ""
    try:
        names = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The settings file {file}{named} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"The settings file {file}{named} is not TOML: {error}.") from error
    unknown = [name for name in names if name not in Settings.model_fields]
    if unknown:
        told = " ".join(f"{name} is no setting.{_did_you_mean(name, Settings.model_fields)}" for name in unknown)
        raise ConfigurationError(f"The settings file {file} cannot be used: {told}")


def _check_environment() -> None:
    """Refuse variables of ours that no setting reads, and a table that is not JSON: nothing is passed over in silence.

    Raises:
        ConfigurationError: so it is.
    """
    fields = [name.upper() for name in Settings.model_fields]
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(_PREFIX)
        if not variable.upper().startswith(_PREFIX) or variable == _CONFIG or variable.startswith(_OF_TESTS):
            continue
        if name not in fields and not name.startswith("MODELS__"):
            raise ConfigurationError(
                f"The environment variable {variable} sets nothing."
                f"{_did_you_mean(name, [*fields, 'CONFIG'], prefix=_PREFIX)} Correct it, or unset it."
            )
        if name == "MODELS":
            try:
                json.loads(os.environ[variable])
            except ValueError as error:
                raise ConfigurationError(
                    f"{variable} is not valid JSON: {error}. Example: {variable}='{_MODELS_AS_JSON}'"
                ) from error
