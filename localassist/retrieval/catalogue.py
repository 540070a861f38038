"""Which models are here: reads `registry.toml`, finds and verifies model folders. Nothing is ever downloaded."""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localassist.errors import ConfigurationError
from localassist.retrieval.embed import EmbeddingRecipe, Pooling, WindowPlan

Backend = Literal["onnx", "sentence-transformers"]
_ONNX_FILES = ("model.onnx", "onnx/model.onnx")
_WEIGHTS = (*_ONNX_FILES, "model.safetensors", "pytorch_model.bin")
_PASSAGE_PROMPTS = ("document", "passage", "corpus")
_PLAIN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})


class ModelCard(BaseModel):
    """What `registry.toml` says of a model, or what a sentence-transformers folder says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str
    kind: Literal["embedding"]
    backend: Backend
    description: str = ""
    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    dim: Annotated[int, Field(ge=1)]
    max_tokens: Annotated[int, Field(ge=16)]
    window: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (200, 150)
    sub_window: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = (32, 16)
    pooling: Pooling
    normalize: Literal[True] = True
    query_prefix: str = ""
    document_prefix: str = ""
    licence: str = "unknown"
    size_mb: float
    source: str = ""
    revision: str = ""
    files: Annotated[Mapping[str, str], Field(min_length=1)]
    """The SHA-256 of each file that is used."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose files are here and are the ones that its card names."""

    card: ModelCard
    folder: Path

    @property
    def recipe(self) -> EmbeddingRecipe:
        """How the model wants its texts; the name holds the digest of its files."""
        card = self.card
        digest = hashlib.sha256("".join(f"{k}{v}" for k, v in sorted(card.files.items())).encode()).hexdigest()
        return EmbeddingRecipe(
            name=f"{card.name}@{digest[:12]}",
            languages=card.languages,
            max_tokens=card.max_tokens,
            pooling=card.pooling,
            query_prefix=card.query_prefix,
            document_prefix=card.document_prefix,
            plan=WindowPlan(*card.window, *card.sub_window),
        )

    @property
    def onnx_file(self) -> Path:
        """The graph of a model with the backend `onnx`; its `tokenizer.json` lies in `folder`."""
        return self.folder / next(name for name in _ONNX_FILES if name in self.card.files)


def packaged_models() -> Path:
    """Give the folder of the models that ship: inside an installed package, or of a source checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_data" / "models"
    return installed if installed.is_dir() else package.parent / "models"


class Catalogue:
    """The models of the packaged folder and of the user's own folders.

    A folder may hold a `registry.toml` of its own, and model folders: `<folder>/<name>/`. The first one found wins, and
    the packaged ones come first, so that a name always means the same weights.

    Args:
        folders: the user's folders; one that does not exist is empty.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._roots = (packaged_models(), *folders)
        self._verified: dict[Path, tuple[int, int, str]] = {}

    def cards(self) -> Sequence[ModelCard]:
        """List every model that a registry names, whether its files are here or not.

        Raises:
            ConfigurationError: a registry cannot be read.
        """
        cards: dict[str, ModelCard] = {}
        for root in self._roots:
            for card in read_registry(root / "registry.toml"):
                cards.setdefault(card.name, card)
        return list(cards.values())

    def folder_of(self, name: str) -> Path | None:
        """Give the folder of a model by name, or None when there is none."""
        return next((root / name for root in self._roots if (root / name).is_dir()), None)

    def open(self, name: str) -> LocalModel:
        """Find a model by name, or by the path of a sentence-transformers folder, and verify its files.

        Raises:
            ConfigurationError: there is no such model, or its files are not those that the registry names.
        """
        card = next((card for card in self.cards() if card.name == name), None)
        folder = self.folder_of(name) if _is_plain_name(name) else None
        if card is not None and folder is None:
            raise ConfigurationError(
                f"The model {name!r} is known but not here. Put its files ({', '.join(card.files)}) into one of: "
                f"{self._listed_roots(name)}. Source: {card.source}"
            )
        if card is not None and folder is not None:
            self._verify(card, folder)
            return LocalModel(card, folder)
        path = folder or Path(name).expanduser()
        if not path.is_dir():
            raise ConfigurationError(
                f"There is no embedding model {name!r}. Known models: {', '.join(c.name for c in self.cards())}. "
                f"A path to a sentence-transformers folder is a name too, and so is the name of one inside: "
                f"{self._listed_roots()}."
            )
        return LocalModel(describe_folder(path, sha256=self._sha256), path)

    def _verify(self, card: ModelCard, folder: Path) -> None:
        for name, expected in card.files.items():
            path = folder / name
            if not path.is_file():
                raise ConfigurationError(
                    f"The model {card.name!r} lacks {path}. Put the file there, or reinstall localassist."
                )
            found = self._sha256(path)
            if found != expected:
                raise ConfigurationError(
                    f"{path} is not the file that the registry names: its SHA-256 is {found}, expected {expected}. "
                    "It is damaged or another version; put the right one there, or reinstall localassist."
                )

    def _sha256(self, path: Path) -> str:
        """Give the SHA-256 of a file, read again only when its time or size has changed."""
        status = path.stat()
        known = self._verified.get(path)
        if known is not None and known[:2] == (status.st_mtime_ns, status.st_size):
            return known[2]
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        self._verified[path] = (status.st_mtime_ns, status.st_size, found)
        return found

    def _listed_roots(self, name: str = "") -> str:
        return ", ".join(str(root / name) for root in self._roots)


def _is_plain_name(name: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+", name)) and name not in {".", ".."}


def read_registry(path: Path) -> Sequence[ModelCard]:
    """Read a `registry.toml`; one that does not exist names no model.

    Raises:
        ConfigurationError: it is not TOML, or a table lacks a field or has one that is unknown.
    """
    if not path.is_file():
        return []
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return [ModelCard.model_validate({"name": name, **table}) for name, table in tables.items()]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError, ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be used: {error}") from error


def describe_folder(folder: Path, *, sha256: Callable[[Path], str]) -> ModelCard:
    """Make the card of a sentence-transformers folder from its own files.

    An ONNX graph in it is used where the model is a transformer, its pooling and nothing more; otherwise the backend is
    `sentence-transformers`. Languages come from the head of its README; a model that does not say is taken for English.

    Raises:
        ConfigurationError: the folder is not such a model, or of a form that cannot be used here.
    """
    config = _read_json(folder / "config.json")
    weights = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None or "hidden_size" not in config:
        raise ConfigurationError(
            f"{folder} is not a sentence-transformers folder: it needs a config.json with hidden_size, and one of "
            f"{', '.join(_WEIGHTS)}."
        )
    modules = [str(m.get("type", "")).rsplit(".", 1)[-1] for m in _read_json(folder / "modules.json", default=[])]
    if unknown := set(modules) - _PLAIN_MODULES:
        raise ConfigurationError(
            f"{folder} has the module {sorted(unknown)[0]!r}; only {', '.join(sorted(_PLAIN_MODULES))} can be used."
        )
    backend: Backend = "onnx" if weights in _ONNX_FILES else "sentence-transformers"
    names = [weights, *(n for n in ("tokenizer.json", "config.json") if (folder / n).is_file())]
    if backend == "onnx" and "tokenizer.json" not in names:
        raise ConfigurationError(f"{folder} has {weights} but no tokenizer.json.")
    prompts = _read_json(folder / "config_sentence_transformers.json", default={}).get("prompts") or {}
    return ModelCard(
        name=folder.resolve().name,
        kind="embedding",
        backend=backend,
        languages=_languages(folder / "README.md"),
        dim=config["hidden_size"],
        max_tokens=_max_tokens(folder, config),
        pooling=_pooling(folder),
        query_prefix=prompts.get("query", ""),
        document_prefix=next((prompts[key] for key in _PASSAGE_PROMPTS if key in prompts), ""),
        size_mb=round((folder / weights).stat().st_size / 1e6, 1),
        source=str(folder),
        files={name: sha256(folder / name) for name in names},
    )


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int:
    """Give what the folder limits its texts to, but never more than the model has positions for."""
    limits = [config.get("max_position_embeddings")]
    limits.append(_read_json(folder / "sentence_bert_config.json", default={}).get("max_seq_length"))
    return min((limit for limit in limits if isinstance(limit, int)), default=512)


def _pooling(folder: Path) -> Pooling:
    """Read how the model pools; mean where nothing is said.

    Raises:
        ConfigurationError: it pools in a way that is not known here.
    """
    config = _read_json(folder / "1_Pooling" / "config.json", default={})
    modes = [key.removeprefix("pooling_mode_") for key, value in config.items() if value is True and "mode_" in key]
    modes = [mode for mode in modes or [config.get("pooling_mode", "mean")] if isinstance(mode, str)]
    match modes:
        case ["mean_tokens" | "mean"]:
            return "mean"
        case ["cls_token" | "cls"]:
            return "cls"
        case _:
            raise ConfigurationError(f"{folder} pools by {modes}; only mean and cls can be used.")


def _languages(readme: Path) -> tuple[str, ...]:
    """Read `language:` from the head of a model's README."""
    head = readme.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0] if readme.is_file() else ""
    found = re.search(r"^languages?:[ \t]*(.*(?:\n[ \t]*- .*)*)", head, re.MULTILINE)
    codes = re.findall(r"[A-Za-z]+", found[1]) if found else []
    if "multilingual" in codes:
        return ("*",)
    return tuple(code.lower() for code in codes if len(code) == 2) or ("en",)


def _read_json(path: Path, *, default: Any = None) -> Any:
    """Read a JSON file of a model folder, or give `default` (if there is one) where it does not exist.

    Raises:
        ConfigurationError: it is missing and needed, or not JSON.
    """
    if default is not None and not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}") from error
