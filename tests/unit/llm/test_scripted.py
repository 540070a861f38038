"""The model that says what it is told."""

import pytest

from localassist.errors import ModelError
from localassist.llm.base import ChatMessage, ChatRequest, Delta
from localassist.llm.scripted import ScriptedModel, calls, says

REQUEST = ChatRequest("m", [ChatMessage("user", "Hi")])


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedModel("one two", lambda request: says(request.model), ModelError("down", retryable=True))

    first = [delta async for delta in model.stream(REQUEST)]
    second = [delta async for delta in model.stream(REQUEST)]
    with pytest.raises(ModelError, match="down"):
        await anext(model.stream(REQUEST))
    with pytest.raises(ModelError, match="no reply left for request 4"):
        await anext(model.stream(REQUEST))

    assert [d.text for d in first] == ["one ", "two", ""]
    assert "".join(d.text for d in second) == "m"
    assert first[-1].finish_reason == "stop"
    assert model.requests == [REQUEST] * 4


async def test_tool_calls_come_in_fragments() -> None:
    model = ScriptedModel()
    model.add(calls(("f", {"a": 1}), ("g", "{bad"), said="Let me see."))

    deltas = [delta async for delta in model.stream(REQUEST)]

    parts = [part for delta in deltas for part in delta.tool_calls]
    assert deltas[0] == Delta("Let me see.")
    assert [(p.index, p.name) for p in parts] == [(0, "f"), (0, None), (1, "g"), (1, None)]
    assert "".join(p.arguments for p in parts if p.index == 0) == '{"a":1}'
    assert deltas[-1].finish_reason == "tool_calls"
