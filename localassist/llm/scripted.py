"""A model that says what it is told, for tests and for the documentation."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import orjson

from localassist.errors import ModelError
from localassist.llm.base import ChatRequest, Delta, ModelInfo, ModelUsage, ToolCallDelta

Reply = str | Sequence[Delta] | ModelError | Callable[[ChatRequest], "str | Sequence[Delta] | ModelError"]


class ScriptedModel:
    """Gives its replies in order and keeps the requests.

    A reply is a text (streamed word by word), deltas as they stand, an error to raise, or a function of the request
    that gives one of these. `requests` holds every request so far.
    """

    def __init__(self, *replies: Reply, info: ModelInfo | None = None) -> None:
        self.requests: list[ChatRequest] = []
        self.closed = False
        self._replies = deque(replies)
        self._info = info or ModelInfo()

    def add(self, *replies: Reply) -> None:
        """Put further replies behind those that wait."""
        self._replies.extend(replies)

    def info(self, model: str) -> ModelInfo:  # noqa: ARG002  one script, one description
        """Give the description the script was made with."""
        return self._info

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """Yield the next reply.

        Raises:
            ModelError: the script says so, or has no reply left.
        """
        self.requests.append(request)
        if not self._replies:
            raise ModelError(f"The script has no reply left for request {len(self.requests)}.")
        reply = self._replies.popleft()
        if callable(reply):
            reply = reply(request)
        if isinstance(reply, ModelError):
            raise reply
        for delta in says(reply) if isinstance(reply, str) else reply:
            await asyncio.sleep(0)
            yield delta

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


def says(text: str, *, usage: ModelUsage | None = None) -> list[Delta]:
    """Make a reply of this text, one delta a word; `usage` counts the words unless it is given."""
    words = text.split(" ")
    pieces = [word + " " for word in words[:-1]] + words[-1:]
    deltas = [Delta(piece) for piece in pieces if piece]
    return [*deltas, Delta(finish_reason="stop", usage=usage or ModelUsage(completion_tokens=len(pieces)))]


def calls(*wanted: tuple[str, Any], said: str = "", usage: ModelUsage | None = None) -> list[Delta]:
    """Make a reply that calls tools: pairs of a name and its arguments, as an object or as the text the model wrote."""
    deltas = [Delta(said)] if said else []
    for index, (name, arguments) in enumerate(wanted):
        written = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        half = len(written) // 2
        deltas.append(Delta(tool_calls=[ToolCallDelta(index, f"call_{index}_{name}", name, written[:half])]))
        deltas.append(Delta(tool_calls=[ToolCallDelta(index, arguments=written[half:])]))
    return [*deltas, Delta(finish_reason="tool_calls", usage=usage or ModelUsage(completion_tokens=len(wanted)))]
