"""Identifiers in the API's own form: a prefix that names the kind, then random letters and digits."""

import secrets
import string
from typing import Final, Literal

Kind = Literal[
    "asst", "thread", "msg", "run", "step", "call", "file", "vs", "vsfb", "upload", "part", "chatcmpl", "req", "worker"
]

_ALPHABET: Final = string.ascii_letters + string.digits
_HEX_KINDS: Final = frozenset({"vs", "vsfb", "upload", "part", "req", "worker"})
_HYPHENATED: Final = frozenset({"file", "chatcmpl"})


def new_id(kind: Kind) -> str:
    """Make an identifier that nobody can guess.

    `run_…`, `msg_…` and their like carry 24 letters and digits, `file-…` and `chatcmpl-…` 24 behind a hyphen, `vs_…`,
    `vsfb_…`, `upload_…` and `part_…` 32 hexadecimal digits.

    Source: identifiers in recorded traffic of the hosted API, `contract/recorded`.
    """
    if kind in _HEX_KINDS:
        return f"{kind}_{secrets.token_hex(16)}"
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(24))
    return f"{kind}-{tail}" if kind in _HYPHENATED else f"{kind}_{tail}"
