"""`Idempotency-Key`: what is sent again is not made again."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid1

import openai
import pytest
from openai import OpenAI

from tests.scripted.server import ScriptedServer, text


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": f"key-{uuid1()}"}


def test_a_request_that_is_sent_again_gets_its_first_answer(client: OpenAI, key: dict[str, str]) -> None:
    first = client.beta.threads.create(metadata={"a": "b"}, extra_headers=key)
    again = client.beta.threads.with_raw_response.create(metadata={"a": "b"}, extra_headers=key)
    other = client.beta.threads.create(metadata={"a": "b"})

    assert again.parse() == first
    assert again.headers["idempotency-replayed"] == "true"
    assert other.id != first.id


def test_another_request_under_the_same_key_is_refused(client: OpenAI, key: dict[str, str]) -> None:
    client.beta.threads.create(metadata={"a": "b"}, extra_headers=key)

    with pytest.raises(openai.BadRequestError, match="same parameters") as caught:
        client.beta.threads.create(metadata={"a": "c"}, extra_headers=key)
    with pytest.raises(openai.BadRequestError, match="same parameters"):
        client.beta.assistants.create(model="m", metadata={"a": "b"}, extra_headers=key)

    assert caught.value.code == "idempotency_key_reused"


def test_of_copies_that_arrive_together_one_makes_the_thing(client: OpenAI, key: dict[str, str]) -> None:
    def create(_: int) -> str:
        return client.beta.assistants.create(model="m", name=key["Idempotency-Key"], extra_headers=key).id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(create, range(8)))

    assert len(ids) == 1
    assert [a.name for a in client.beta.assistants.list(limit=100)].count(key["Idempotency-Key"]) == 1


def test_a_file_that_is_sent_again_is_one_file(client: OpenAI, key: dict[str, str]) -> None:
    def send() -> str:
        return client.files.create(file=("a.txt", b"x" * 300_000), purpose="assistants", extra_headers=key).id

    assert send() == send()


def test_an_error_is_not_kept(client: OpenAI, key: dict[str, str]) -> None:
    thread = client.beta.threads.create()
    body: Any = {"role": "user", "content": "Hello"}
    path = f"/threads/{thread.id}/messages"
    client.beta.threads.delete(thread.id)

    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            client.post(path, cast_to=object, body=body, options={"headers": key})


def test_a_streamed_answer_is_made_again(client: OpenAI, script: ScriptedServer, key: dict[str, str]) -> None:
    script.reply(text("One."), text("Two."))
    messages: Any = [{"role": "user", "content": "Count."}]

    said = [
        "".join(
            chunk.choices[0].delta.content or ""
            for chunk in client.chat.completions.create(model="m", messages=messages, stream=True, extra_headers=key)
        )
        for _ in range(2)
    ]

    assert said == ["One.", "Two."]


def test_too_long_a_key_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="it may have 255"):
        client.beta.threads.create(extra_headers={"Idempotency-Key": "k" * 256})
