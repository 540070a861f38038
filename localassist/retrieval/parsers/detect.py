"""What a file is by its bytes rather than by its name."""

import io
import zipfile

import olefile

from localassist.errors import IngestionError
from localassist.retrieval.parsers.kinds import SUPPORTED_EXTENSIONS, Kind, kind_by_name

_BINARY_KINDS: frozenset[Kind] = frozenset({"pdf", "docx", "pptx", "xlsx", "epub", "doc"})

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF87a", "a GIF image"),
    (0, b"GIF89a", "a GIF image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (8, b"WEBPVP8", "a WebP image"),
    (8, b"WAVEfmt ", "a WAV recording"),
    (4, b"ftyp", "an MP4, MOV or HEIC file"),
    (0, b"ID3", "an MP3 recording"),
    (0, b"OggS", "an Ogg recording"),
    (0, b"fLaC", "a FLAC recording"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"(\xb5/\xfd", "a Zstandard archive"),
    (0, b"7z\xbc\xaf'\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a Linux program"),
    (0, b"MZ\x90\x00", "a Windows program"),
    (0, b"\xca\xfe\xba\xbe\x00", "a compiled Java class"),
    (0, b"\xcf\xfa\xed\xfe", "a macOS program"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x00asm", "a WebAssembly module"),
    (0, b"wOFF", "a web font"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"%!PS", "a PostScript file"),
)

_ZIP_PARTS: tuple[tuple[str, Kind], ...] = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"))


def detect_kind(data: bytes, file_name: str) -> Kind:
    """Decide how to read a file: by its bytes where they are clear, else by its name.

    A PDF, Office or EPUB file is read as what it is, whatever it is called; an HTML page or a plain text that is
    called `.pdf` or `.docx` is read as HTML or text.

    Raises:
        IngestionError: `unsupported_file` for an unknown ending; `invalid_file` if the file is empty or if its bytes
            are clearly something that cannot be read (an image, an archive, a program, a protected document).
    """
    promised = kind_by_name(file_name)
    if not data:
        raise IngestionError(f"The file {file_name!r} is empty (0 bytes). Choose a file with text in it.")
    found = _kind_by_bytes(data, file_name)
    if found is not None:
        return found
    if promised not in _BINARY_KINDS:
        return promised
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "html"
    if b"\x00" not in data and _is_utf8(data):
        return "text"
    raise IngestionError(
        f"The file {file_name!r} is not a {promised.upper()} file: its first bytes are {data[:8]!r}. "
        "It may be damaged; get it anew, or give it the extension of what it is."
    )


def _kind_by_bytes(data: bytes, file_name: str) -> Kind | None:
    if b"%PDF-" in data[:1024] and (data.startswith(b"%PDF-") or b"\x00" in data or b"startxref" in data):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(data, file_name)
    if data.startswith(olefile.MAGIC):
        return _kind_of_ole(data, file_name)
    for offset, signature, what in _SIGNATURES:
        if data.startswith(signature, offset):
            raise IngestionError(
                f"The file {file_name!r} looks like {what}, which has no text that can be indexed. "
                f"Upload a document instead: {' '.join(sorted(SUPPORTED_EXTENSIONS))}."
            )
    return None


def _kind_of_zip(data: bytes, file_name: str) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise IngestionError(
            f"The file {file_name!r} begins like a ZIP-based document but is damaged or truncated ({error}). "
            "Use the complete file."
        ) from error
    if "[Content_Types].xml" in names:
        for prefix, kind in _ZIP_PARTS:
            if any(name.startswith(prefix) for name in names):
                return kind
    if "META-INF/container.xml" in names:
        return "epub"
    what = "an OpenDocument file" if "content.xml" in names and "mimetype" in names else "a ZIP archive"
    raise IngestionError(
        f"The file {file_name!r} looks like {what}, which cannot be indexed. Save it as .docx, .xlsx, .pptx, .epub or "
        ".pdf, or upload the files inside it one by one."
    )


def _kind_of_ole(data: bytes, file_name: str) -> Kind:
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            streams = {"/".join(path) for path in container.listdir()}
    except (OSError, ValueError, IndexError) as error:
        raise IngestionError(
            f"The file {file_name!r} begins like an old Office file but is damaged or truncated ({error}). "
            "Use the complete file."
        ) from error
    if "EncryptedPackage" in streams:
        raise IngestionError(
            f"The file {file_name!r} is protected by a password and cannot be read. Remove the password and try again."
        )
    if "WordDocument" in streams:
        return "doc"
    what, instead = "an old Office file", ".docx, .xlsx or .pptx"
    if streams & {"Workbook", "Book"}:
        what, instead = "an old Excel file (.xls)", ".xlsx"
    elif "PowerPoint Document" in streams:
        what, instead = "an old PowerPoint file (.ppt)", ".pptx"
    elif any(name.startswith("__substg1.0") for name in streams):
        what, instead = "an Outlook message (.msg)", ".txt or .html"
    raise IngestionError(f"The file {file_name!r} looks like {what}, which cannot be indexed. Save it as {instead}.")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
