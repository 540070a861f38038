"""`localassist models`: the models that are configured and those that are here."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from localassist.cli.exits import DONE, WENT_WRONG
from localassist.cli.options import EMBEDDER, MODEL, json_option, load_settings, settings_options
from localassist.cli.terminal import out, print_json
from localassist.config import EXTRACTIVE, Settings
from localassist.errors import ConfigurationError
from localassist.retrieval.catalogue import Catalogue, ModelCard

HELP = """List the models, and verify those that are here.

Language models answer; embedding models make files searchable. Nothing is downloaded: a model's files are put into
--models-folder by hand, and are used only if their SHA-256 is the one that the registry names.

\b
Examples:
  localassist models
  localassist models --verify
"""


@click.command(help=HELP)
@click.option("--verify", is_flag=True, help="Read every file of the embedding models and compare its SHA-256.")
@settings_options(*MODEL, *EMBEDDER)
@json_option
def models(*, verify: bool, as_json: bool, **given: Any) -> int:
    """List the models; see `HELP`."""
    settings = load_settings(given)
    catalogue = Catalogue([settings.models_folder] if settings.models_folder else [])
    language = _language_models(settings)
    embedding = [_embedding_model(catalogue, card, settings, verify=verify) for card in catalogue.cards()]
    if as_json:
        print_json({"language_models": language, "embedding_models": embedding})
    else:
        _print("Language models", language, ("name", "answers as", "at", "note"))
        _print("Embedding models", embedding, ("name", "status", "languages", "dim", "MB", "licence", "note"))
    return WENT_WRONG if any(row["status"] == "damaged" for row in embedding) else DONE


def _language_models(settings: Settings) -> list[dict[str, Any]]:
    embedded = {"name": EXTRACTIVE, "answers as": "quotations", "at": "this process", "note": "needs no language model"}
    default = {
        "name": "every other name",
        "answers as": settings.model,
        "at": settings.model_base_url or ("this process" if settings.model == EXTRACTIVE else "its provider"),
        "note": "set by --model",
    }
    named = [
        {"name": name, "answers as": model.model, "at": model.base_url or "its provider", "note": "settings file"}
        for name, model in settings.models.items()
    ]
    return [default, *named, embedded]


def _embedding_model(catalogue: Catalogue, card: ModelCard, settings: Settings, *, verify: bool) -> dict[str, Any]:
    status, note = "missing", ""
    if catalogue.folder_of(card.name) is not None:
        status = "here"
        if verify:
            try:
                catalogue.open(card.name)
                status = "verified"
            except ConfigurationError as error:
                status, note = "damaged", str(error)
    if card.name == settings.embedder:
        note = note or "in use"
    return {
        "name": card.name,
        "status": status,
        "languages": list(card.languages),
        "dim": card.dim,
        "MB": card.size_mb,
        "licence": card.licence,
        "note": note,
    }


def _print(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in {"dim", "MB"} else "left")
    styles = {"here": "good", "verified": "good", "missing": "warn", "damaged": "bad"}
    for row in rows:
        cells = [", ".join(v) if isinstance(v := row[column], list) else str(v) for column in columns]
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in cells))
    out().print(table)
    out().print()
