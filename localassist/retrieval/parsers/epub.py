"""EPUB: the chapters in reading order."""

import posixpath
from urllib.parse import unquote

from lxml import etree

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.archive import Archive, local_name
from localassist.retrieval.parsers.builder import TextBuilder
from localassist.retrieval.parsers.markup import write_html
from localassist.retrieval.parsers.text import decode

_CHAPTER_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


def parse(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read the chapters of an EPUB book in reading order.

    Raises:
        IngestionError: the book is damaged, protected (DRM), or passes a limit.
    """
    builder = TextBuilder(max_characters=max_characters)
    with Archive(data, file_name=file_name) as archive:
        _refuse_protected(archive, file_name)
        for path in _chapters(archive, file_name):
            builder.blank_line()
            write_html(_as_html(archive.read(path), path), builder, with_title=False)
    return builder.build("epub")


def _refuse_protected(archive: Archive, file_name: str) -> None:
    if "META-INF/encryption.xml" not in archive:
        return
    for method in archive.xml("META-INF/encryption.xml").iter("{*}EncryptionMethod"):
        if method.get("Algorithm") not in _FONT_OBFUSCATION:
            raise IngestionError(
                f"The book {file_name!r} is protected (DRM) and cannot be read. Upload an open edition."
            )


def _chapters(archive: Archive, file_name: str) -> list[str]:
    roots = [r.get("full-path") or "" for r in archive.xml("META-INF/container.xml").iter("{*}rootfile")]
    package_path = next((r for r in roots if r in archive), None)
    if package_path is None:
        raise IngestionError(f"The book {file_name!r} is damaged: its table of contents is missing.")
    folder = posixpath.dirname(package_path)
    manifest: dict[str, str] = {}
    order: list[str] = []
    for element in archive.xml(package_path).iter("{*}item", "{*}itemref"):
        if local_name(element) == "item":
            if element.get("media-type") in _CHAPTER_TYPES:
                path = posixpath.normpath(posixpath.join(folder, unquote(element.get("href") or "")))
                manifest[element.get("id") or ""] = path
        else:
            order.append(element.get("idref") or "")
    return [manifest[i] for i in order if i in manifest and manifest[i] in archive]


def _as_html(data: bytes, path: str) -> str:
    """Give HTML for XHTML: an HTML reader would take `<title/>` for an open element and swallow the page."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError:  # most often an HTML entity such as &nbsp;: the HTML reader copes
        return decode(data, file_name=path)[0]
    if any(isinstance(node, etree._Entity) for node in root.iter(etree.Entity)):
        return decode(data, file_name=path)[0]
    return str(etree.tostring(root, method="html", encoding="unicode"))
