"""The members of a ZIP-based document, read with limits and without trust in its headers."""

import io
import posixpath
import zipfile
import zlib
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from lxml import etree

from localassist.errors import IngestionError

MAX_MEMBER_BYTES = 256 * 2**20
MAX_TOTAL_BYTES = 512 * 2**20
MAX_MEMBERS = 20_000
MAX_RATIO = 200
"""A member that unpacks to more than `RATIO_FREE_BYTES` may be at most so many times its packed size."""
RATIO_FREE_BYTES = 8 * 2**20

_READ_BYTES = 1 << 20


class Archive:
    """Reads members of a ZIP file; every byte that comes out of the decompressor is counted against the limits."""

    def __init__(self, data: bytes, *, file_name: str) -> None:
        """Open the archive.

        Raises:
            IngestionError: the file is not a whole ZIP archive, or has too many members.
        """
        self._file_name = file_name
        self._n_bytes = 0
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise self._damaged(error) from error
        self._infos = {info.filename: info for info in self._zip.infolist()}
        if len(self._zip.infolist()) > MAX_MEMBERS:
            raise IngestionError(
                f"The file {file_name!r} has {len(self._zip.infolist()):,} parts; at most {MAX_MEMBERS:,} are read."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def names(self) -> list[str]:
        """Give the names of all members."""
        return list(self._infos)

    def read(self, name: str) -> bytes:
        """Give the bytes of a member.

        Raises:
            IngestionError: the member is missing, damaged, encrypted, or unpacks to more than the limits.
        """
        if name not in self._infos:
            raise IngestionError(f"The file {self._file_name!r} is damaged: its part {name!r} is missing.")
        info = self._infos[name]
        chunks: list[bytes] = []
        size = 0
        try:
            with self._zip.open(info) as stream:
                while chunk := stream.read(_READ_BYTES):
                    size += len(chunk)
                    self._count(len(chunk), size, info.compress_size)
                    chunks.append(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            if info.flag_bits & 0x1:
                raise IngestionError(
                    f"The file {self._file_name!r} is protected by a password. Remove it and upload the file again."
                ) from error
            raise self._damaged(error) from error
        return b"".join(chunks)

    def xml(self, name: str) -> etree._Element:
        """Parse a member as XML: no entities, no network, no external definitions.

        Raises:
            IngestionError: as for `read`, or the member is not well-formed.
        """
        return parse_xml(self.read(name), part=name, file_name=self._file_name)

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Give the relations of an Office part: id to (last word of the type, path of the target).

        Targets outside of the archive are left out.
        """
        folder, base = posixpath.split(part)
        name = posixpath.join(folder, "_rels", f"{base}.rels")
        if name not in self:
            return {}
        found: dict[str, tuple[str, str]] = {}
        for relation in self.xml(name):
            if not isinstance(relation.tag, str) or relation.get("TargetMode") == "External":
                continue
            target = unquote(relation.get("Target") or "")
            path = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            found[relation.get("Id") or ""] = ((relation.get("Type") or "").rpartition("/")[2], path)
        return found

    def _count(self, n_new: int, size: int, packed_size: int) -> None:
        self._n_bytes += n_new
        too_dense = size > RATIO_FREE_BYTES and size > MAX_RATIO * max(packed_size, 1)
        if too_dense or size > MAX_MEMBER_BYTES or self._n_bytes > MAX_TOTAL_BYTES:
            raise IngestionError(
                f"The file {self._file_name!r} unpacks to far more than its size (a ZIP bomb, or a document beyond "
                f"{MAX_MEMBER_BYTES // 2**20} MB per part and {MAX_TOTAL_BYTES // 2**20} MB in all). It was not read."
            )

    def _damaged(self, error: Exception) -> IngestionError:
        return IngestionError(f"The file {self._file_name!r} is damaged or truncated ({error}). Use the complete file.")


def parse_xml(data: bytes, *, part: str, file_name: str) -> etree._Element:
    """Parse XML: no entities, no network, no external definitions, bounded depth and text size.

    Raises:
        IngestionError: the XML is not well-formed, or passes the limits.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise IngestionError(
            f"The file {file_name!r} is damaged: {part!r} is not well-formed XML ({error})."
        ) from error


def local_name(element: etree._Element) -> str:
    """Give an element's name without its namespace; the empty string for comments and processing instructions.

    Office files come with two sets of namespaces (transitional and strict); their local names are the same.
    """
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: etree._Element, name: str) -> str | None:
    """Give an attribute by its name without namespace."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2] == name:
            return str(value)
    return None
