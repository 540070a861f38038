import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.runs.events import Event
from localassist.server.sse import DONE, EventStream, encoded


class Client:
    """The far end of one ASGI call."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.got = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        self.got.set()

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages)


async def batches(*given: Sequence[Event]) -> AsyncIterator[Sequence[Event]]:
    for batch in given:
        yield batch


@given(
    st.lists(
        st.tuples(st.sampled_from(["thread.message.delta", "error"]), st.from_regex(r"\{[^\n\r]*\}", fullmatch=True))
    )
)
def test_the_records_can_be_read_back(events: list[tuple[str, str]]) -> None:
    text = encoded([Event(n, name, data) for n, (name, data) in enumerate(events)]).decode()

    records = text.split("\n\n")
    assert records.pop() == ""
    assert [tuple(r.split("\n", 1)) for r in records] == [(f"event: {n}", f"data: {d}") for n, d in events]


async def test_a_stream_ends_with_done() -> None:
    client = Client()

    await EventStream(batches([Event(1, "a", "{}"), Event(2, "b", "{}")], [Event(3, "c", "{}")]))(
        {"type": "http"}, client.receive, client.send
    )

    assert client.body == b"event: a\ndata: {}\n\nevent: b\ndata: {}\n\nevent: c\ndata: {}\n\n" + DONE
    headers = dict(client.messages[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert b"content-length" not in headers
    assert len(client.messages) == 5, "start, a send for each batch, done, end"
    assert client.messages[-1]["more_body"] is False


async def test_a_client_that_goes_away_ends_the_following() -> None:
    client, closed = Client(), asyncio.Event()

    async def for_ever() -> AsyncIterator[Sequence[Event]]:
        try:
            yield [Event(1, "a", "{}")]
            await asyncio.Event().wait()
        finally:
            closed.set()

    answering = asyncio.create_task(EventStream(for_ever())({"type": "http"}, client.receive, client.send))
    await client.got.wait()
    client.gone.set()
    await answering

    assert closed.is_set()
    assert DONE not in client.body


async def test_a_silent_stream_is_kept_alive() -> None:
    client, go_on = Client(), asyncio.Event()

    async def silent() -> AsyncIterator[Sequence[Event]]:
        await go_on.wait()
        yield [Event(1, "a", "{}")]

    answering = asyncio.create_task(
        EventStream(silent(), keep_alive_s=0.001)({"type": "http"}, client.receive, client.send)
    )
    while b": keep-alive\n\n" not in client.body:
        client.got.clear()
        await client.got.wait()
    go_on.set()
    await answering

    assert client.body.endswith(b"event: a\ndata: {}\n\n" + DONE)


async def test_a_stream_that_breaks_off_says_so_in_the_form_the_sdk_raises_on() -> None:
    client = Client()

    async def broken() -> AsyncIterator[Sequence[Event]]:
        yield [Event(1, "a", "{}")]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        await EventStream(broken())({"type": "http"}, client.receive, client.send)

    assert b'event: error\ndata: {"error":{"message":"The stream broke off' in client.body
    assert b"the disk is gone" not in client.body
    assert client.messages[-1]["more_body"] is False


def test_the_texts_of_search_results_are_sent_only_to_those_who_asked() -> None:
    result = {"file_id": "f", "score": 1.0, "content": [{"type": "text", "text": "secret"}], "start_index": 3}
    step = {"id": "s", "step_details": {"type": "tool_calls", "tool_calls": [{"file_search": {"results": [result]}}]}}
    said = {"id": "m", "delta": {"content": [{"text": "kept"}]}}
    events = [
        Event(1, "thread.run.step.completed", orjson.dumps(step).decode()),
        Event(2, "thread.message.delta", orjson.dumps(said).decode()),
    ]

    plain, full = encoded(events, with_contents=False), encoded(events)

    assert b"secret" not in plain
    assert b'"start_index"' not in plain
    assert b'"score":1.0' in plain
    assert b"kept" in plain
    assert b"secret" in full
