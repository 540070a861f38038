"""Identifiers in the API's own form: a prefix that names the kind, then random letters and digits."""

import secrets
import string
from typing import Final, Literal

Kind = Literal["asst", "thread", "msg", "run", "step", "call", "file", "vs", "vsfb", "req", "worker"]

_ALPHABET: Final = string.ascii_letters + string.digits
_HEX_KINDS: Final = frozenset({"vs", "vsfb", "req", "worker"})


def new_id(kind: Kind) -> str:
    """Make an identifier that nobody can guess.

    `run_…`, `msg_…` and their like carry 24 letters and digits, `file-…` 24 behind a hyphen, `vs_…` and `vsfb_…`
    32 hexadecimal digits.

    Source: identifiers in recorded traffic of the hosted API, `contract/recorded`.
    """
    if kind in _HEX_KINDS:
        return f"{kind}_{secrets.token_hex(16)}"
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(24))
    return f"file-{tail}" if kind == "file" else f"{kind}_{tail}"
