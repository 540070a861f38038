"""Requests as servers read them, chunks as the run loop reads them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.errors import ContextLengthError, ModelError
from localassist.llm.base import ChatMessage, ChatRequest, Delta, ModelUsage, ToolCall, ToolCallDelta, ToolSchema
from localassist.llm.wire import ReplyReader, ToolCallFragments, request_body

SEARCH = ToolSchema("file_search", "Search.", {"type": "object"})


def collected(*fragments: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the run loop makes of fragments: id, name and arguments of each call; checks the rules on the way."""
    reader = ToolCallFragments()
    calls: list[list[str]] = []
    deltas = [d for f in fragments if (d := reader.accept(f)) is not None] + reader.rest()
    for delta in deltas:
        if delta.id is not None:
            assert delta.index == len(calls), "indices count from 0, id once, first"
            assert delta.name is not None
            calls.append([delta.id, delta.name, delta.arguments])
        else:
            assert delta.name is None
            calls[delta.index][2] += delta.arguments
    return [tuple(call) for call in calls]  # type: ignore[misc]  # each has three parts


def part(index=None, call_id=None, name=None, arguments=None) -> dict[str, Any]:
    made: dict[str, Any] = {"function": {}}
    if index is not None:
        made["index"] = index
    if call_id is not None:
        made["id"] = call_id
    if name is not None:
        made["function"]["name"] = name
    if arguments is not None:
        made["function"]["arguments"] = arguments
    return made


@given(
    st.lists(
        st.tuples(st.sampled_from("fgh"), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)), max_size=4
    ),
    st.integers(1, 5),
)
def test_fragments_as_openai_sends_them_are_put_together_again(
    wanted: list[tuple[str, dict[str, int]]], size: int
) -> None:
    fragments = []
    for index, (name, arguments) in enumerate(wanted):
        text = json.dumps(arguments)
        fragments.append(part(index, f"id{index}", name, ""))
        fragments += [part(index, arguments=text[i : i + size]) for i in range(0, len(text), size)]

    assert collected(*fragments) == [(f"id{i}", name, json.dumps(a)) for i, (name, a) in enumerate(wanted)]


@pytest.mark.parametrize(
    "fragments",
    [
        pytest.param([part(0, "a", "f", '{"x":1}'), part(0, "b", "g", "{}")], id="whole calls, every index 0"),
        pytest.param([part(None, "a", "f", '{"x":1}'), part(None, "b", "g", "{}")], id="whole calls, no index"),
        pytest.param(
            [part(None, "a", "f", '{"x"'), part(None, None, None, ":1}"), part(None, "b", "g", "{}")],
            id="no index, id first only",
        ),
        pytest.param(
            [part(0, "a", "f", '{"x"'), part(0, "a", "f", ":1}"), part(1, "b", "g", "{}")], id="id and name repeated"
        ),
        pytest.param(
            [part(0, "a", "f", '{"x"'), part(0, "zz", None, ":1}"), part(1, "b", "g", "{}")], id="a new id each time"
        ),
        pytest.param(
            [part(0, "a", "", '{"x"'), part(0, "", "f", ":1}"), part(1, "b", "g", "{}")], id="name comes late"
        ),
        pytest.param([part(2, "a", "f", '{"x":1}'), part(5, "b", "g", "{}")], id="indices with gaps"),
        pytest.param([part(0, "a", "f", {"x": 1}), part(1, "b", "g", {})], id="arguments as objects"),
        pytest.param(
            [part(0, "a", "f", ""), part(1, "b", "g", "{"), part(0, None, None, '{"x":1}'), part(1, None, None, "}")],
            id="interleaved",
        ),
    ],
)
def test_calls_are_told_apart_however_a_server_sends_them(fragments: list[dict[str, Any]]) -> None:
    calls = collected(*fragments)

    assert [(c[0], c[1], json.loads(c[2])) for c in calls] == [("a", "f", {"x": 1}), ("b", "g", {})]


def test_whole_calls_with_neither_index_nor_id_get_ids_of_ours() -> None:
    calls = collected(part(0, None, "f", "{}"), part(0, None, "f", "{}"))

    assert [c[1:] for c in calls] == [("f", "{}"), ("f", "{}")]
    assert calls[0][0] != calls[1][0]
    assert all(c[0].startswith("call_") for c in calls)


def test_a_call_whose_name_never_came_is_given_with_the_finish() -> None:
    reader = ReplyReader(model="m", server="s")

    assert reader.read({"choices": [{"delta": {"tool_calls": [part(0, "a", None, "{}")]}}]}) is None
    last = reader.read({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})

    assert last == Delta("", (ToolCallDelta(0, "a", "", "{}"),), "tool_calls")


@pytest.mark.parametrize(
    ("said", "understood"),
    [("stop", "stop"), ("eos", "stop"), ("length", "length"), ("max_tokens", "length"), ("content_filter",) * 2],
)
def test_finish_reasons_of_other_servers_are_understood(said: str, understood: str) -> None:
    delta = ReplyReader(model="m", server="s").read({"choices": [{"delta": {"content": "x"}, "finish_reason": said}]})

    assert delta is not None
    assert delta.finish_reason == understood


def test_a_reply_with_calls_finishes_with_tool_calls_although_the_server_says_stop() -> None:
    reader = ReplyReader(model="m", server="s")
    reader.read({"choices": [{"delta": {"tool_calls": [part(0, "a", "f", "{}")]}}]})

    assert reader.read({"choices": [{"delta": {}, "finish_reason": "stop"}]}) == Delta(finish_reason="tool_calls")


def test_reasoning_is_no_text() -> None:
    chunk = {"choices": [{"delta": {"content": None, "reasoning_content": "hm", "reasoning": "hm"}}]}

    assert ReplyReader(model="m", server="s").read(chunk) is None


def test_usage_is_read_with_its_details() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }

    assert ReplyReader(model="m", server="s").read({"choices": [], "usage": usage}) == Delta(
        usage=ModelUsage(9, 5, 4, 2)
    )


def test_an_error_in_place_of_a_chunk_is_raised_as_what_it_says() -> None:
    reader = ReplyReader(model="m", server="s")

    with pytest.raises(ModelError, match="out of memory") as oom:
        reader.read({"error": {"message": "out of memory", "code": 500}})
    with pytest.raises(ModelError) as limited:
        reader.read({"error": {"message": "slow down", "type": "rate_limit_error"}})
    with pytest.raises(ContextLengthError) as too_long:
        reader.read({"error": {"message": "the maximum context length is 8,192 tokens", "code": 400}})

    assert oom.value.retryable
    assert (limited.value.code, limited.value.retryable) == ("rate_limit_exceeded", True)
    assert too_long.value.max_tokens == 8192


def test_a_request_carries_what_was_asked_for_and_nothing_else() -> None:
    request = ChatRequest(
        "asked",
        [
            ChatMessage("user", "Hi"),
            ChatMessage("assistant", "", [ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "g", '{"a": ')]),
            ChatMessage("tool", "found", tool_call_id="c1"),
        ],
        tools=[SEARCH],
        tool_choice="function:file_search",
        temperature=0.0,
    )

    body = request_body(request, model="served")

    calls = body["messages"][1]["tool_calls"]
    assert body.keys() == {"model", "messages", "tools", "tool_choice", "temperature"}
    assert body["model"] == "served"
    assert body["tool_choice"] == {"type": "function", "function": {"name": "file_search"}}
    assert body["messages"][0] == {"role": "user", "content": "Hi"}
    assert body["messages"][1]["content"] is None
    assert body["messages"][2] == {"role": "tool", "content": "found", "tool_call_id": "c1"}
    assert [json.loads(c["function"]["arguments"]) for c in calls] == [{"a": 1}, {"not_valid_json": '{"a": '}]


def test_without_tools_there_is_no_tool_choice() -> None:
    body = request_body(ChatRequest("m", [ChatMessage("user", "Hi")], parallel_tool_calls=False), model="m")

    assert body.keys() == {"model", "messages"}
