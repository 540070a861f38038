"""What went wrong in a model call, in the words of its server, as the one error that the run loop knows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from localassist import clock
from localassist.errors import ContextLengthError, ModelError

_RETRYABLE: Final = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 522, 524, 529})
_MAX_WORDS: Final = 600
_TAG: Final = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]+>", re.IGNORECASE | re.DOTALL)
_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size|limit)|maximum context|max_model_len"
    r"|prompt is too long|(?:input|prompt|token) (?:length|count|tokens?)\b.{0,60}\bexceed"
    r"|maximum number of tokens allowed"
    r"|too many (?:input )?tokens|\bn_ctx\b",
    re.IGNORECASE | re.DOTALL,
)
_LIMITS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"maximum context (?:length|window|size)(?: of this model)?(?: is|:| of)? ?(?:only )?(\d[\d,]*)",
        r"context (?:length|window|size|limit) (?:of|is|:)? ?(?:only )?\(?(\d[\d,]*)",
        r"> (\d[\d,]*) (?:tokens )?maximum",
        r"maximum number of tokens allowed \((\d[\d,]*)\)",
        r"\b(?:n_ctx|max_model_len)\b\D{0,12}(\d[\d,]*)",
    )
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model server's answer that is not a reply: its status, its own words, its own code, and when to come back."""

    status: int
    words: str
    code: str = ""
    retry_after_s: float | None = None


def read_refusal(status: int, body: bytes, headers: Mapping[str, str]) -> Refusal:
    """Find the words and the code in an error's body, whatever its shape, and the wait in its headers."""
    words, code = "", ""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        words = _TAG.sub(" ", body.decode("utf-8", "replace"))
    else:
        words, code = words_of(content)
    return Refusal(status, _short(words), code, retry_after_s(headers))


def words_of(content: Any) -> tuple[str, str]:
    """Find the message and the code in an error object: OpenAI's form, FastAPI's, Ollama's and their like."""
    if isinstance(content, Mapping):
        error = content.get("error", content)
        if isinstance(error, Mapping):
            message = error.get("message") or error.get("detail") or error.get("msg")
            code = error.get("code") or error.get("type") or ""
            limit = f" (n_ctx: {error['n_ctx']})" if "n_ctx" in error else ""
            text = message if isinstance(message, str) else orjson.dumps(message or error).decode()
            return f"{text}{limit}", str(code)
        if isinstance(error, str):
            return error, str(content.get("code") or "")
    return content if isinstance(content, str) else orjson.dumps(content).decode(), ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read how long a server asks to wait: seconds, milliseconds or a date; None if it does not say."""
    try:
        if "retry-after-ms" in headers:
            return max(float(headers["retry-after-ms"]) / 1000, 0.0)
        text = headers.get("retry-after", "")
        if not text:
            return None
        if re.fullmatch(r"[\d.]+", text):
            return float(text)
        return max(parsedate_to_datetime(text).timestamp() - clock.now(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def model_error(refusal: Refusal, *, model: str, server: str) -> ModelError:
    """Turn a refusal into the error that the run loop knows, with what to do about it."""
    said = f"the model server at {server} answered {refusal.status}: {refusal.words or 'without a word'}"
    said = said[0].upper() + said[1:]
    if too_long(refusal):
        return ContextLengthError(
            f"The prompt is longer than the context of {model!r}. {said}", max_tokens=limit_in(refusal)
        )
    match refusal.status:
        case 401 | 403:
            return ModelError(f"{said} Check the API key that is set for this model server.")
        case 404:
            return ModelError(
                f"{said} Check that it serves the model {model!r} (its list is at {server}/models) and that its base "
                "URL is complete; most end in /v1."
            )
        case 429:
            spent = refusal.code == "insufficient_quota"
            return ModelError(
                said, code="rate_limit_exceeded", retryable=not spent, retry_after_s=refusal.retry_after_s
            )
        case 400 | 413 | 422:
            return ModelError(said, code="invalid_prompt")
        case status if status in _RETRYABLE:
            return ModelError(said, retryable=True, retry_after_s=refusal.retry_after_s)
        case status if 300 <= status < 400:
            return ModelError(f"{said} It points elsewhere, and redirects are not followed: set its final base URL.")
    return ModelError(said)


def too_long(refusal: Refusal) -> bool:
    """Tell whether a refusal means that the prompt did not fit."""
    return refusal.status in {400, 413, 422, 500} and bool(_TOO_LONG.search(f"{refusal.code} {refusal.words}"))


def limit_in(refusal: Refusal) -> int | None:
    """Find the size of the context, in tokens, in the words of a refusal."""
    for pattern in _LIMITS:
        if found := pattern.search(refusal.words):
            return int(found[1].replace(",", ""))
    return None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_WORDS else text[:_MAX_WORDS].rstrip() + " …"
