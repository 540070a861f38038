"""Assistant and thread to chat messages within the model's context."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from localassist import tokens
from localassist.llm.base import ChatMessage, ToolCall
from localassist.retrieval.cite import without_marks
from localassist.types.message import (
    ImageFileContentBlock,
    ImageURLContentBlock,
    Message,
    TextContentBlock,
)

PER_MESSAGE_TOKENS = 4
"""Tokens that a chat template adds to each message, about."""
_SHORTEST_TOOL_TEXT = 1_000
"""Characters below which a tool's result is not shortened."""

ImageReader = Callable[[str], Awaitable[str | None]]
"""A file id to a `data:` URL of its image; None when the file is gone or is no image."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages of one model call, and what had to be left out so that they fit."""

    messages: Sequence[ChatMessage]
    n_dropped: int = 0
    n_shortened: int = 0
    fits: bool = True


async def chat_message(message: Message, read_image: ImageReader) -> ChatMessage:
    """Write a message of the thread for the model, images included; earlier answers lose their marks."""
    parts: list[dict[str, Any]] = []
    for block in message.content:
        match block:
            case TextContentBlock():
                spans = [(a.start_index, a.end_index) for a in block.text.annotations if a.type == "file_citation"]
                parts.append({"type": "text", "text": without_marks(block.text.value, spans)})
            case ImageFileContentBlock():
                url = await read_image(block.image_file.file_id)
                image = {"url": url, "detail": block.image_file.detail}
                gone = {"type": "text", "text": "[an image that is no longer there]"}
                parts.append(gone if url is None else {"type": "image_url", "image_url": image})
            case ImageURLContentBlock():
                parts.append({"type": "image_url", "image_url": block.image_url.model_dump()})
    if all(part["type"] == "text" for part in parts):
        return ChatMessage(message.role, "\n".join(part["text"] for part in parts))
    return ChatMessage(message.role, parts)


def tool_exchange(calls: Sequence[ToolCall], outputs: Sequence[str], *, text: str = "") -> list[ChatMessage]:
    """Write tool calls and their results as the model saw them: one assistant's message, then one for each result."""
    asked = ChatMessage("assistant", text, tool_calls=tuple(calls))
    answers = [ChatMessage("tool", out, tool_call_id=call.id) for call, out in zip(calls, outputs, strict=True)]
    return [asked, *answers]


def count_tokens(message: ChatMessage) -> int:
    """Count a message's tokens, about: text and calls as they are, an image as 800."""
    total = PER_MESSAGE_TOKENS
    if isinstance(message.content, str):
        total += tokens.count(message.content)
    else:
        total += sum(tokens.count(part["text"]) if part["type"] == "text" else 800 for part in message.content)
    return total + sum(tokens.count(call.name) + tokens.count(call.arguments) for call in message.tool_calls)


def fit(
    system: Sequence[ChatMessage],
    history: Sequence[ChatMessage],
    current: Sequence[ChatMessage],
    *,
    max_tokens: int | None,
) -> Prompt:
    """Put a prompt together that holds at most `max_tokens`; None: as many as there are.

    First the results of tools are shortened, the longest first; then the oldest messages of `history` are left out. The
    newest of them (the question), the instructions and what happened in this run (`current`) always stay: if they alone
    are too long, `fits` is False.
    """
    everything = [*system, *history, *current]
    if max_tokens is None or _surely_fits(everything, max_tokens):
        return Prompt(everything)
    sizes = {id(message): count_tokens(message) for message in everything}
    over = sum(sizes.values()) - max_tokens
    current, n_shortened = _shorten(current, over) if over > 0 else (current, 0)
    budget = max_tokens - sum(count_tokens(m) for m in [*system, *current])
    kept: list[ChatMessage] = []
    for message in reversed(history):
        budget -= sizes[id(message)]
        if budget < 0 and kept:
            break
        kept.append(message)
    kept.reverse()
    used = sum(count_tokens(m) for m in [*system, *kept, *current])
    return Prompt([*system, *kept, *current], len(history) - len(kept), n_shortened, used <= max_tokens)


def _surely_fits(messages: Iterable[ChatMessage], max_tokens: int) -> bool:
    """Tell without counting: no text has more tokens than bytes."""
    total = 0
    for message in messages:
        if not isinstance(message.content, str):
            return False
        arguments = sum(len(call.name) + len(call.arguments.encode()) for call in message.tool_calls)
        total += PER_MESSAGE_TOKENS + len(message.content.encode()) + arguments
    return total <= max_tokens


def _shorten(messages: Sequence[ChatMessage], over: int) -> tuple[list[ChatMessage], int]:
    """Halve the longest result of a tool until `over` tokens are gone, or none is long any more."""
    shortened = list(messages)
    touched: set[int] = set()
    while over > 0:
        lengths = {
            n: len(m.content) for n, m in enumerate(shortened) if m.role == "tool" and isinstance(m.content, str)
        }
        longest = max(lengths, key=lambda n: lengths[n], default=None)
        if longest is None or lengths[longest] <= _SHORTEST_TOOL_TEXT:
            break
        message = shortened[longest]
        text = str(message.content)
        half = _whole_passages(text, len(text) // 2)
        over -= tokens.count(text) - tokens.count(half)
        shortened[longest] = replace(message, content=half)
        touched.add(longest)
    return shortened, len(touched)


def _whole_passages(text: str, length: int) -> str:
    """Cut behind the last whole passage that lies within `length` characters; the best passages stand first."""
    end = text.rfind("\n\n【", 0, length)
    return text[:end] if end > 0 else text[:length]
