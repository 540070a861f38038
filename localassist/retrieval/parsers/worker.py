"""The parser process: reads requests from its standard input and answers on its standard output, within limits.

Started by `localassist.retrieval.parse.ProcessParser` as `python -m localassist.retrieval.parsers.worker LIMIT_BYTES`.
"""

import os
import resource
import sys
from pathlib import Path
from typing import BinaryIO

from localassist.errors import IngestionError
from localassist.retrieval.parsers import frames
from localassist.retrieval.parsers.dispatch import parse_bytes

_MAX_OPEN_FILES = 64
_MAX_REQUEST_BYTES = 1 << 20
_RESERVE_BYTES = 1 << 20


def main(max_memory_bytes: int) -> None:
    """Answer requests until the parent closes the pipe."""
    requests, answers = _private_pipes()
    _drop_abilities(max_memory_bytes)
    while prefix := requests.read(frames.PREFIX.size):
        n_header, _ = frames.unpack_prefix(prefix, max_body_bytes=_MAX_REQUEST_BYTES)
        request = frames.unpack_header(requests.read(n_header))
        _allow_cpu(int(request["cpu_s"]))
        answer = _answer(Path(request["path"]), str(request["file_name"]), int(request["max_characters"]))
        answers.write(answer)
        answers.flush()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes away from descriptors 0 and 1, so that no library's chatter gets into the frames."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, answers


def _drop_abilities(max_memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    except (ValueError, OSError):  # macOS knows the name but not the limit
        pass


def _allow_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _answer(path: Path, file_name: str, max_characters: int) -> bytes:
    reserve: bytearray | None = bytearray(_RESERVE_BYTES)
    try:
        document = parse_bytes(path.read_bytes(), file_name=file_name, max_characters=max_characters)
        return frames.pack_document(document, {"memory_bytes": _memory_bytes()})
    except IngestionError as error:
        return frames.pack_error(error, {"memory_bytes": _memory_bytes()})
    except MemoryError:
        reserve = None  # makes room for the answer
        del reserve
        return frames.pack_error(
            IngestionError(f"Reading {file_name!r} needs more memory than allowed."), {"spent": True}
        )
    except OSError as error:
        return frames.pack_error(
            IngestionError(f"The stored file of {file_name!r} cannot be read: {error.strerror}.", code="server_error"),
            {},
        )
    except Exception as error:  # noqa: BLE001 # whatever a library raises on a strange file, the parent must hear of it
        return frames.pack_error(
            IngestionError(f"The file {file_name!r} could not be read ({type(error).__name__}: {error})."),
            {"spent": True},
        )


def _memory_bytes() -> int:
    """Give the address space in use; 0 where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main(int(sys.argv[1]))
