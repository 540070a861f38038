"""One immutable file of named arrays: written at once or not at all, checked, and read without copying.

    magic, 8 bytes | length and CRC-32 of the header, two little-endian u32 | header, JSON | arrays, aligned to 64

The header names each array with its type, shape, place and CRC-32. A file appears under its name only when it is
complete and on disk: it is written under another name, synchronised, then renamed.
"""

import math
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from localassist.errors import LocalAssistError

_MAGIC: Final = b"LASEG\x00\x00\x01"
_PREFIX: Final = struct.Struct("<8sII")
_ALIGNMENT: Final = 64
_MAX_HEADER_BYTES: Final = 1 << 26

Array = NDArray[Any]


class DamagedContentError(LocalAssistError):
    """A prepared file on disk is missing, cut short, or not what was written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"The prepared content {path.name!r} in {str(path.parent)!r} {reason}. Ingest its file again.")
        self.path = path
        self.reason = reason


def write_segment(temporary: Path, *, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a segment to `temporary` and wait until it is on disk; `publish` then gives it its name.

    Args:
        temporary: a new file; its folder exists.
        meta: what is not an array; anything that JSON can hold.
        arrays: by name; stored in little-endian order.
    """
    stored = {name: _little_endian(array) for name, array in arrays.items()}
    offset, table = 0, {}
    for name, array in stored.items():
        table[name] = {
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "offset": offset,
            "crc32": zlib.crc32(_bytes_of(array)),
        }
        offset = _aligned(offset + array.nbytes)
    header = orjson.dumps({"meta": meta, "arrays": table, "n_bytes": offset})
    with temporary.open("xb") as file:
        file.write(_PREFIX.pack(_MAGIC, len(header), zlib.crc32(header)))
        file.write(header)
        file.write(bytes(_aligned(file.tell()) - file.tell()))
        for array in stored.values():
            file.write(_bytes_of(array))
            file.write(bytes(_aligned(file.tell()) - file.tell()))
        file.flush()
        os.fsync(file.fileno())


def publish(temporary: Path, path: Path) -> None:
    """Give a written segment its name, in place of what had it, so that a crash leaves either the one or the other."""
    temporary.replace(path)
    for folder in (path.parent, path.parent.parent):  # the folder itself may be as new as the file in it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Segment:
    """A segment that was written before, mapped into memory. Its arrays are read-only views of the file.

    Opening checks the header and the length of the file; an array's content is checked when asked for.
    """

    def __init__(self, path: Path) -> None:
        """Map a segment.

        Raises:
            DamagedContentError: the file is missing or is not a whole segment.
        """
        self.path = path
        self._map = _map(path)
        prefix = self._map[: _PREFIX.size]
        if len(prefix) < _PREFIX.size:
            raise DamagedContentError(path, "is cut short")
        magic, length, crc = _PREFIX.unpack(prefix)
        if magic != _MAGIC or length > _MAX_HEADER_BYTES:
            raise DamagedContentError(path, "is not a segment of this version")
        raw = self._map[_PREFIX.size : _PREFIX.size + length]
        if zlib.crc32(raw) != crc:
            raise DamagedContentError(path, "has a damaged header")
        header = orjson.loads(raw)
        self.meta: Mapping[str, Any] = header["meta"]
        self._table: Mapping[str, Mapping[str, Any]] = header["arrays"]
        self._start = _aligned(_PREFIX.size + length)
        self._verified: set[str] = set()
        if len(self._map) != self._start + header["n_bytes"]:
            raise DamagedContentError(path, "is cut short")

    def array(self, name: str, *, verify: bool = True) -> Array:
        """Give an array of the segment, by default after comparing its content with its checksum, once.

        Raises:
            DamagedContentError: the content is not what was written.
        """
        entry = self._table[name]
        shape = tuple(entry["shape"])
        array: Array = np.frombuffer(
            self._map, dtype=np.dtype(entry["dtype"]), count=math.prod(shape), offset=self._start + entry["offset"]
        ).reshape(shape)
        if verify and name not in self._verified:
            if zlib.crc32(_bytes_of(array)) != entry["crc32"]:
                raise DamagedContentError(self.path, f"is damaged: its part {name!r} does not match its checksum")
            self._verified.add(name)
        return array

    def verify(self) -> None:
        """Compare every array with its checksum.

        Raises:
            DamagedContentError: the content is not what was written.
        """
        for name in self._table:
            self.array(name)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise DamagedContentError(path, "is missing") from error
    except ValueError as error:  # an empty file cannot be mapped
        raise DamagedContentError(path, "is empty") from error
    except OSError as error:
        raise DamagedContentError(path, f"cannot be read ({error.strerror})") from error


def _little_endian(array: Array) -> Array:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _bytes_of(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
