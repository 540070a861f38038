"""Plain text, source code, JSON and CSV: bytes to characters, in whatever encoding."""

import codecs
import re

from charset_normalizer import from_bytes

from localassist.errors import IngestionError
from localassist.retrieval.model import Document
from localassist.retrieval.parsers.builder import TextBuilder

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LEGACY = [
    "gb18030", "big5", "cp932", "euc_jp", "cp949",
    "cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874",
]  # fmt: skip
_LATIN_LETTERS = {
    "cp1252": "éèàùâêëîïôûçäöüßñáíóúãõåæøœÉÈÀÇÄÖÜÅØ€’‘“”–—…«»¿¡°§",
    "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžőűöüäăâîţşŁŚŻŹČŘŠŽĐđ€’“”„–—…«»°§",
    "cp1254": "ğışİŞĞçöüâîûÇÖÜ€’“”–—…«»°",
    "cp1257": "āčēģīķļņšūžąęėįųĀČĒŠŪŽõäöü€’“”„–—…«»°",
}
"""The letters and marks that texts in each Latin code page are made of; in a tie the first wins."""
_LATIN_WORD_WITH_FOREIGN_RUN = re.compile(r"[A-Za-z][^\x00-\x7f]+|[^\x00-\x7f]+[A-Za-z]")
_FOREIGN_RUN = re.compile(r"[^\x00-\x7f]+")
_EAST_ASIAN = frozenset({"gb18030", "big5", "cp932", "euc_jp", "cp949"})
_SAMPLE_BYTES = 1 << 16
_CONTROLS = bytes(c for c in range(1, 32) if c not in b"\t\n\v\f\r\b\x1b")
_MAX_CONTROL_SHARE = 0.02
_MIN_UTF16_ZERO_SHARE = 0.2


def parse(data: bytes, *, file_name: str, max_characters: int) -> Document:
    """Read a text file as it is, with NULs left out.

    Raises:
        IngestionError: the bytes are no text, or are too many.
    """
    text, encoding = decode(data, file_name=file_name)
    builder = TextBuilder(max_characters=max_characters)
    builder.write(text)
    return builder.build("text" if encoding == "utf-8" else f"text ({encoding})")


def decode(data: bytes, *, file_name: str, declared: str | None = None) -> tuple[str, str]:
    """Give the text of a file, and the name of its encoding.

    In order: a byte order mark; UTF-16 without one; UTF-8; the encoding `declared` by the file itself; UTF-8 with a
    few broken bytes; and last a guess by the letters that come out.

    Raises:
        IngestionError: the bytes are no text in any encoding known here.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), encoding
    if (encoding_16 := _utf16_without_mark(data)) is not None:
        return data.decode(encoding_16, "replace"), encoding_16
    _refuse_binary(data, file_name)
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("utf-8", "surrogatepass"), "utf-8"
    except UnicodeDecodeError:
        pass
    if declared is not None and (text := _decode_declared(data, declared)) is not None:
        return text, declared
    if (text := _almost_utf8(data)) is not None:
        return text, "utf-8"
    return _guess(data, file_name)


def _utf16_without_mark(data: bytes) -> str | None:
    """Find UTF-16 by its zeros: in Latin text every second byte is one, in any text blanks and digits have one."""
    sample = data[: _SAMPLE_BYTES & ~1]
    if len(sample) < 2 or b"\x00" not in sample:
        return None
    first, second = sample[0::2], sample[1::2]
    for zeros, others, encoding in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        if zeros.count(0) > _MIN_UTF16_ZERO_SHARE * len(zeros) and others.count(0) < 0.02 * len(others):
            try:
                text = sample.decode(encoding)
            except UnicodeDecodeError:
                continue
            if sum(c in "\ufffd\uffff" or (c < " " and c not in "\t\n\r\f") for c in text) < 0.01 * len(text):
                return encoding
    return None


def _refuse_binary(data: bytes, file_name: str) -> None:
    sample = data[:_SAMPLE_BYTES].replace(b"\x00", b"")
    n_controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if n_controls > _MAX_CONTROL_SHARE * len(sample):
        raise IngestionError(
            f"The file {file_name!r} is not text: {n_controls:,} of its first {len(sample):,} bytes are control codes. "
            "If it is a document, give it the extension of what it is."
        )


def _decode_declared(data: bytes, declared: str) -> str | None:
    try:
        return data.decode("gb18030" if declared.lower() in {"gb2312", "gbk"} else declared)
    except (UnicodeDecodeError, LookupError):
        return None


def _almost_utf8(data: bytes) -> str | None:
    """Accept UTF-8 with at most one broken place for each 20 sound characters beyond ASCII."""
    text = data.decode("utf-8", "replace")
    n_broken = len(re.findall("\ufffd+", text))
    n_sound = sum(1 for _ in re.finditer(r"[^\x00-\x7f\ufffd]", text))
    return text if n_sound >= 20 * n_broken else None


def _guess(data: bytes, file_name: str) -> tuple[str, str]:
    data = data.replace(b"\x00", b"")
    sample = data[:_SAMPLE_BYTES]
    for japanese in ("euc_jp", "cp932"):
        if _has_hiragana(sample, japanese):
            return data.decode(japanese, "replace"), japanese
    match = from_bytes(sample, cp_isolation=_LEGACY).best()
    encoding = "cp1252" if match is None else match.encoding
    if encoding in _LATIN_LETTERS or (
        encoding in _EAST_ASIAN and _cuts_latin_words(sample.decode(encoding, "replace"))
    ):
        encoding = _best_latin(sample)
    text = data.decode(encoding, "replace")
    n_broken = text.count("\ufffd")
    if n_broken > 0.05 * len(text):
        raise IngestionError(
            f"The encoding of {file_name!r} was not recognised: as {encoding}, {n_broken:,} of {len(text):,} "
            "characters are invalid. Save the file as UTF-8 and try again."
        )
    return text, encoding


def _has_hiragana(sample: bytes, encoding: str) -> bool:
    """Tell Japanese by its syllables: what else these bytes could be shows hardly any of them."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(
            sample
        )  # a character cut by the sample's end is no error
    except UnicodeDecodeError:
        return False
    foreign = [c for c in text if c > "\x7f"]
    return sum("ぁ" <= c <= "ゖ" for c in foreign) > 0.2 * len(foreign)


def _cuts_latin_words(text: str) -> bool:
    """Tell whether most East Asian characters stand inside Latin words: a Latin code page that was misread."""
    n_runs = len(_FOREIGN_RUN.findall(text))
    return len(_LATIN_WORD_WITH_FOREIGN_RUN.findall(text)) > 0.7 * n_runs


def _best_latin(sample: bytes) -> str:
    def fit(encoding: str) -> int:
        return sum(c in _LATIN_LETTERS[encoding] for c in sample.decode(encoding, "replace") if c > "\x7f")

    return max(_LATIN_LETTERS, key=fit)
