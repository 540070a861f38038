"""Which files can be read, by their names."""

from pathlib import PurePath
from typing import Literal

from localassist.errors import IngestionError

Kind = Literal["text", "markdown", "html", "pdf", "docx", "pptx", "xlsx", "epub", "doc"]

KIND_BY_EXTENSION: dict[str, Kind] = {
    **dict.fromkeys((".c", ".cpp", ".cs", ".css", ".go", ".java", ".js", ".json", ".php", ".py", ".rb"), "text"),
    **dict.fromkeys((".sh", ".tex", ".ts", ".txt"), "text"),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".xml"), "text"),
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    **dict.fromkeys((".html", ".htm"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".epub": "epub",
    ".doc": "doc",
}
SUPPORTED_EXTENSIONS = frozenset(KIND_BY_EXTENSION)
"""The endings, in lower case and with their dot, of the file names that can be indexed."""


def kind_by_name(file_name: str) -> Kind:
    """Give the kind that a file name promises.

    Raises:
        IngestionError: `unsupported_file`: no parser for this ending.
    """
    extension = PurePath(file_name).suffix.lower()
    if extension not in KIND_BY_EXTENSION:
        what = f"Files with the extension {extension!r}" if extension else "Files without an extension"
        raise IngestionError(
            f"{what} are not supported ({file_name!r}). Supported: {' '.join(sorted(SUPPORTED_EXTENSIONS))}.",
            code="unsupported_file",
        )
    return KIND_BY_EXTENSION[extension]
