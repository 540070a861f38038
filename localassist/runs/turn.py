"""One model call, made again while nothing of its reply has been shown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from localassist.errors import ModelError
from localassist.llm.base import ChatModel, ChatRequest, Delta

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_LONGEST_WAIT_S = 120.0
"""A provider that asks for a longer wait is not waited for: its words say more than a run that expires."""

Sleep = Callable[[float], Awaitable[None]]


async def stream_turn(
    model: ChatModel, request: ChatRequest, *, retries: int, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[Delta]:
    """Call the model and yield its deltas; a failed call is made again as long as it has yielded nothing.

    Waits what the provider asked for, else 0.5 s, 1 s, 2 s, …, 30 s at most.

    Raises:
        ModelError: the call failed for good, or in the middle of its reply.
    """
    for attempt in range(retries + 1):
        yielded = False
        try:
            async with aclosing(model.stream(request)) as deltas:  # type: ignore[type-var] # adapters are generators
                async for delta in deltas:
                    yielded = yielded or bool(delta.text or delta.tool_calls)
                    yield delta
        except ModelError as error:
            if yielded or not error.retryable or attempt == retries:
                raise
            if error.retry_after_s is not None and error.retry_after_s > _LONGEST_WAIT_S:
                raise
            backoff = min(_FIRST_BACKOFF_S * 2**attempt, _LONGEST_BACKOFF_S)
            await sleep(backoff if error.retry_after_s is None else error.retry_after_s)
        else:
            return
