"""Chat completions and embeddings, through the SDK: one base URL for a whole program."""

import base64
from typing import Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from localassist import tokens
from tests.contract.test_errors import refused
from tests.scripted.server import USAGE, Cut, Reply, ScriptedServer, call, error, text, tool_calls

HELLO: Any = [{"role": "user", "content": "Say hello."}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def test_a_reply_comes_under_the_name_that_was_asked_for(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(text("Hello, world."))

    done = client.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert (done.object, done.model, done.id[:9]) == ("chat.completion", "gpt-4o", "chatcmpl-")
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("Hello, world.", "stop")
    assert done.usage is not None
    assert done.usage.prompt_tokens == USAGE["prompt_tokens"]
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert script.chats[-1]["model"] == "scripted"


def test_options_reach_the_models_server_as_they_were_given(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(text("Hello"))
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Hello?"}]},
    ]

    client.chat.completions.create(
        model="m", messages=messages, stop=["\n"], seed=7, logit_bias={"5": 1}, n=1, max_tokens=9,
        presence_penalty=0.5, temperature=0.5, response_format={"type": "json_object"}, extra_body={"top_k": 3},
    )  # fmt: skip

    sent = script.chats[-1]
    assert {k: sent[k] for k in ("stop", "seed", "logit_bias", "presence_penalty", "temperature", "top_k")} == {
        "stop": ["\n"], "seed": 7, "logit_bias": {"5": 1}, "presence_penalty": 0.5, "temperature": 0.5, "top_k": 3,
    }  # fmt: skip
    assert (sent["max_tokens"], sent["response_format"]) == (9, {"type": "json_object"})
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, messages[1]]


def test_a_stream_has_the_chunks_of_the_api(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(text("Hello, world."))

    chunks = list(
        client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == "Hello, world."
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == USAGE["prompt_tokens"]


def test_the_sdks_stream_helper_puts_tool_calls_together(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(tool_calls(call("weather", {"city": "Oslo"}), call("weather", {"city": "Bergen"}, call_id="call_2")))

    with client.chat.completions.stream(model="m", messages=HELLO, tools=[WEATHER]) as stream:
        done = stream.get_final_completion()

    made = done.choices[0].message.tool_calls or []
    assert [(c.id, c.function.name, c.function.arguments) for c in made] == [
        ("call_weather", "weather", '{"city": "Oslo"}'),
        ("call_2", "weather", '{"city": "Bergen"}'),
    ]
    assert done.choices[0].finish_reason == "tool_calls"


def test_tools_are_called_and_answered(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(tool_calls(call("weather", {"city": "Oslo"})), text("Rain."))
    named: Any = {"type": "function", "function": {"name": "weather"}}

    first = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER], tool_choice=named)
    said = first.choices[0].message
    assert (said.content, first.choices[0].finish_reason) == (None, "tool_calls")
    assert said.tool_calls is not None
    answered: Any = [*HELLO, said, {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "rain"}]
    second = client.chat.completions.create(model="m", messages=answered, tools=[WEATHER])

    assert second.choices[0].message.content == "Rain."
    assert script.chats[0]["tool_choice"] == named
    roles = [(m["role"], m.get("tool_call_id")) for m in script.chats[1]["messages"]]
    assert roles == [("user", None), ("assistant", None), ("tool", "call_weather")]
    assert script.chats[1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'


async def test_the_asynchronous_client_streams_too(async_client: AsyncOpenAI, script: ScriptedServer) -> None:
    script.reply(text("Hello, world."))

    stream = await async_client.chat.completions.create(model="m", messages=HELLO, stream=True)

    assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "Hello, world."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "raised", "code", "header"),
    [
        (error(429, "Slow down.", headers={"retry-after": "7"}), openai.RateLimitError, "rate_limit_exceeded", "7"),
        (error(429, "Pay.", code="insufficient_quota"), openai.RateLimitError, "insufficient_quota", None),
        (error(400, "'seed' must be even."), openai.BadRequestError, None, None),
        (
            error(400, "This model's maximum context length is 8 tokens.", code="context_length_exceeded"),
            openai.BadRequestError,
            "context_length_exceeded",
            None,
        ),
        (error(401, "Wrong key."), openai.InternalServerError, None, None),
        (error(500, "Out of memory."), openai.InternalServerError, None, None),
    ],
)
def test_a_failed_model_call_raises_the_sdks_own_error(
    client: OpenAI, script: ScriptedServer, *, stream: bool, reply: Reply, raised: Any, code: str, header: str
) -> None:
    script.always(reply)

    with pytest.raises(raised) as caught:
        client.with_options(max_retries=0).chat.completions.create(model="m", messages=HELLO, stream=stream)

    assert caught.value.code == code
    assert caught.value.response.headers.get("retry-after") == header
    said = {429: "", 401: "Wrong key", 500: "Out of memory"}.get(reply.status, "")
    assert said in caught.value.message


@pytest.mark.parametrize(("status", "n_calls"), [(401, 1), (404, 1)])
def test_what_another_attempt_would_not_mend_is_not_tried_again(
    client: OpenAI, script: ScriptedServer, status: int, n_calls: int
) -> None:
    script.always(error(status, "No."))

    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=HELLO)

    assert (caught.value.status_code, len(script.chats)) == (502, n_calls)


def test_a_reply_that_breaks_off_is_an_error_in_the_stream(client: OpenAI, script: ScriptedServer) -> None:
    whole = text("Hello, world.")
    script.reply(Reply([*whole.pieces[:2], Cut()], whole.status, whole.headers))
    got: list[Any] = []

    with pytest.raises(openai.APIError, match="was cut off before its end"):
        got.extend(client.chat.completions.create(model="m", messages=HELLO, stream=True))

    assert got


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"temperature": 3}, "temperature"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type"),
    ],
)
def test_what_the_answer_could_not_show_is_refused(
    client: OpenAI, script: ScriptedServer, fields: Any, param: str
) -> None:
    body = {"model": "m", "messages": HELLO, **fields}

    assert (
        refused(openai.BadRequestError, client.post, "/chat/completions", cast_to=object, body=body)["param"] == param
    )
    assert script.chats == []


def test_the_model_without_a_language_model_says_what_it_is(client: OpenAI) -> None:
    done = client.chat.completions.create(model="localassist/extractive", messages=HELLO)

    assert "language model" in (done.choices[0].message.content or "")
    assert done.usage is not None
    assert done.usage.prompt_tokens > 0


def test_texts_become_vectors_in_either_encoding(client: OpenAI) -> None:
    texts = ["A lighthouse by the sea.", "A tower on the coast.", "Tax law of 1912."]
    plain = client.embeddings.create(model="text-embedding-3-small", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="text-embedding-3-small", input=texts)
    one: Any = client.post(
        "/embeddings", cast_to=object, body={"model": "m", "input": texts[0], "encoding_format": "base64"}
    )

    vectors = np.array([each.embedding for each in plain.data])
    assert (plain.model, [each.index for each in plain.data]) == ("text-embedding-3-small", [0, 1, 2])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert np.allclose(vectors, [each.embedding for each in packed.data], atol=1e-6)
    assert np.allclose(np.frombuffer(base64.b64decode(one["data"][0]["embedding"]), "<f4"), vectors[0], atol=1e-6)
    assert plain.usage.prompt_tokens == sum(tokens.count(each, "cl100k_base") for each in texts)


def test_tokens_are_read_as_the_text_that_they_are(client: OpenAI) -> None:
    numbers = tokens.tokenizer("cl100k_base").encode("A lighthouse by the sea.")
    said, encoded, several = (
        np.array(client.embeddings.create(model="m", input=each).data[0].embedding)
        for each in ("A lighthouse by the sea.", numbers, [numbers])
    )

    assert np.array_equal(said, encoded)
    assert np.array_equal(said, several)


def test_a_text_longer_than_the_model_reads_is_embedded_to_its_end(client: OpenAI) -> None:
    filler = "The harbour opens at six and closes at nine. " * 60
    first, second = (
        np.array(client.embeddings.create(model="m", input=filler + end).data[0].embedding)
        for end in ("Nobody may swim there. " * 30, "Rhubarb grows well in wet soil. " * 30)
    )

    assert np.isclose(np.linalg.norm(first), 1, atol=1e-5)
    assert first @ second < 0.99


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": ""}, "cannot be empty"),
        ({"input": []}, "cannot be empty"),
        ({"input": ["a", ""]}, r"'input\[1\]'"),
        ({"input": ["a"] * 2049}, "maximum length 2048"),
        ({"input": [1_000_000]}, "has no such token"),
        ({"input": [-1]}, "has no such token"),
        ({"input": 3}, "Invalid type for 'input'"),
        ({"input": "a", "dimensions": 256}, "gives vectors of 384 numbers"),
        ({"input": "a", "encoding_format": "int8"}, "Supported values are"),
    ],
)
def test_what_cannot_be_embedded_is_refused(client: OpenAI, fields: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        client.post("/embeddings", cast_to=object, body={"model": "m", **fields})


def test_the_models_own_number_of_dimensions_may_be_named(client: OpenAI) -> None:
    assert len(client.embeddings.create(model="m", input="a", dimensions=384).data[0].embedding) == 384


def test_a_configured_model_cannot_be_deleted_and_others_are_not_there(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="settings"):
        client.models.delete("scripted")
    body = refused(openai.NotFoundError, client.models.delete, "gpt-4o")

    assert body["message"] == "The model 'gpt-4o' does not exist"
    assert (body["param"], body["code"]) == ("model", "model_not_found")
    assert client.models.retrieve("localassist/extractive").owned_by == "localassist"
