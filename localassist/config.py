"""Every option, once: its unit, its default, its environment name and one sentence.

The only module that reads the environment. `docs/settings.md` is made from the fields below.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from localassist.errors import ConfigurationError

EXTRACTIVE = "localassist/extractive"
"""The name of the embedded default, which answers by quotation and needs no language model."""


class ModelSettings(BaseModel):
    """One model under a name of its own, in the table `[models.NAME]` of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(description="The name its server knows it by, e.g. `ollama/llama3.2` or `qwen3`.")]
    base_url: Annotated[str | None, Field(description="The OpenAI-compatible URL it is served under.")] = None
    api_key: Annotated[str | None, Field(description="The key its server wants.")] = None
    context_tokens: Annotated[int | None, Field(ge=256, description="Tokens of its context window.")] = None
    supports_tools: Annotated[bool | None, Field(description="Whether it can call tools.")] = None
    adapter: Annotated[
        Literal["auto", "direct", "litellm"], Field(description="How it is called; see the setting `adapter`.")
    ] = "auto"


class Settings(BaseSettings):
    """All options. Read once, passed down as values."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="LOCALASSIST_", env_nested_delimiter="__", protected_namespaces=()
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
        str | None, Field(description="The OpenAI-compatible URL of `model`, e.g. `http://127.0.0.1:11434/v1`.")
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
        str | None, Field(description="The OpenAI-compatible URL of a remote embedding model.")
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
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The settings file {settings_file()} cannot be read: {error}") from error
        _refuse_unknown_names()
        return settings


def settings_file() -> Path | None:
    """Give the settings file: `LOCALASSIST_CONFIG`, else `localassist.toml` in the working directory, or None."""
    named = os.environ.get("LOCALASSIST_CONFIG")
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


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        variable = "LOCALASSIST_" + name.upper().replace(".", "__")
        lines.append(
            f"{name} = {problem['input']!r}: {problem['msg']} (set it with {variable} or in the settings file)"
        )
    return "Settings that cannot be used:\n  " + "\n  ".join(lines)


def _refuse_unknown_names() -> None:
    file = settings_file()
    if file is None:
        return
    unknown = sorted(set(tomllib.loads(file.read_text(encoding="utf-8"))) - set(Settings.model_fields))
    if unknown:
        known = ", ".join(sorted(Settings.model_fields))
        raise ConfigurationError(f"{file} has unknown names: {', '.join(unknown)}. Known are: {known}.")
