"""Runs: polled and streamed, with citations, with functions, cancelled."""

import json
from typing import Any

import openai
import pytest
from openai import AssistantEventHandler, AsyncOpenAI, OpenAI
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Message, Run

from tests.scripted.server import ScriptedServer, call, error, text, tool_calls

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FACT = b"The lighthouse of Norrund is 41 metres high and was built in 1873 by Ada Brandt."


def asked(client: OpenAI, question: str, **assistant: Any) -> dict[str, Any]:
    """An assistant and a thread with a question."""
    made = client.beta.assistants.create(model="gpt-4o", **assistant)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    return {"thread_id": thread.id, "assistant_id": made.id}


def searching(client: OpenAI, question: str) -> dict[str, Any]:
    """The same, with a file to search."""
    store = client.vector_stores.create()
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("tower.txt", FACT))
    assert file.status == "completed"
    return asked(
        client,
        question,
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )


def answer_of(client: OpenAI, run: Run) -> Message:
    return client.beta.threads.messages.list(run.thread_id, run_id=run.id).data[0]


def value_of(message: Message) -> str:
    part = message.content[0]
    assert part.type == "text"
    return part.text.value


def test_a_run_answers_the_thread(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(text("Good morning to you."))
    ids = asked(client, "Say hello.", instructions="Be polite.")

    run = client.beta.threads.runs.create_and_poll(**ids)

    assert (run.status, run.last_error, run.model) == ("completed", None, "gpt-4o")
    assert value_of(answer_of(client, run)) == "Good morning to you."
    assert run.usage is not None
    assert run.usage.total_tokens == run.usage.prompt_tokens + run.usage.completion_tokens > 0
    sent = script.chats[-1]
    assert sent["model"] == "scripted"
    assert [m["content"] for m in sent["messages"] if m["role"] == "user"] == ["Say hello."]
    assert "Be polite." in sent["messages"][0]["content"]


def test_an_answer_cites_the_file_it_was_found_in(client: OpenAI, script: ScriptedServer) -> None:
    ids = searching(client, "How high is the lighthouse?")
    script.reply(
        tool_calls(call("file_search", {"queries": ["lighthouse height"]})),
        text("It is 41 metres 高い high 【4:0†tower.txt】, they say."),
    )

    run = client.beta.threads.runs.create_and_poll(**ids)

    assert (run.status, run.last_error) == ("completed", None)
    part = answer_of(client, run).content[0]
    assert part.type == "text"
    [note] = part.text.annotations
    assert note.type == "file_citation"
    assert part.text.value[note.start_index : note.end_index] == note.text == "【4:0†tower.txt】"
    assert client.files.retrieve(note.file_citation.file_id).filename == "tower.txt"
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc").data
    assert [s.type for s in steps] == ["tool_calls", "message_creation"]


def test_results_show_their_text_only_when_asked(client: OpenAI, script: ScriptedServer) -> None:
    ids = searching(client, "How high is the lighthouse?")
    script.reply(tool_calls(call("file_search", {"queries": ["lighthouse height"]})), text("41 metres."))
    run = client.beta.threads.runs.create_and_poll(**ids)

    def result(**include: Any) -> Any:
        steps = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc", **include).data
        details = steps[0].step_details
        assert details.type == "tool_calls"
        found = details.tool_calls[0]
        assert found.type == "file_search"
        assert found.file_search.results
        return found.file_search.results[0]

    assert result().content is None
    shown = result(include=["step_details.tool_calls[*].file_search.results[*].content"])
    assert "41 metres" in shown.content[0].text


def test_a_function_is_called_and_its_output_used(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Weather in Oslo?", tools=[WEATHER])
    script.reply(tool_calls(call("weather", {"city": "Oslo"})), text("Snow."))

    run = client.beta.threads.runs.create_and_poll(**ids)
    assert run.status == "requires_action"
    assert run.required_action is not None
    [wanted] = run.required_action.submit_tool_outputs.tool_calls
    assert (wanted.function.name, json.loads(wanted.function.arguments)) == ("weather", {"city": "Oslo"})
    done = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=[{"tool_call_id": wanted.id, "output": "-3 C, snow"}]
    )

    assert done.status == "completed"
    assert value_of(answer_of(client, done)) == "Snow."
    assert [m["content"] for m in script.chats[-1]["messages"] if m["role"] == "tool"] == ["-3 C, snow"]


def test_a_thread_with_an_active_run_is_locked(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Weather in Oslo?", tools=[WEATHER])
    script.reply(tool_calls(call("weather", {"city": "Oslo"})))
    run = client.beta.threads.runs.create_and_poll(**ids)

    with pytest.raises(openai.BadRequestError, match=f"while a run {run.id} is active"):
        client.beta.threads.messages.create(run.thread_id, role="user", content="More?")
    with pytest.raises(openai.BadRequestError, match=f"already has an active run {run.id}"):
        client.beta.threads.runs.create(**ids)
    with pytest.raises(openai.BadRequestError, match="Expected tool outputs for call_ids"):
        client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=[])
    cancelled = client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)

    assert cancelled.status == "cancelled"
    client.beta.threads.messages.create(run.thread_id, role="user", content="More?")
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'cancelled'"):
        client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)


def test_a_run_that_waits_for_its_model_is_cancelled(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Think long.")
    script.reply(text("One two three").hanging_after(3))

    with client.beta.threads.runs.stream(**ids) as stream:
        for event in stream:
            if event.event == "thread.message.delta":
                client.beta.threads.runs.cancel(stream.current_run.id, thread_id=ids["thread_id"])
                break
        names = [event.event for event in stream]

    assert names[-1] == "thread.run.cancelled"


def test_a_model_that_refuses_makes_the_run_fail_with_its_words(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Hello?")
    script.reply(error(401, "This key is not known here."))

    run = client.beta.threads.runs.create_and_poll(**ids)

    assert run.status == "failed"
    assert run.last_error is not None
    assert "This key is not known here." in run.last_error.message


def test_a_thread_and_its_run_are_made_at_once(client: OpenAI, script: ScriptedServer) -> None:
    assistant = client.beta.assistants.create(model="m")
    script.reply(text("Hello."))

    events = list(
        client.beta.threads.create_and_run(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}, stream=True
        )
    )

    assert [e.event for e in events[:3]] == ["thread.created", "thread.run.created", "thread.run.queued"]
    assert events[-1].event == "thread.run.completed"


def test_a_stream_tells_the_story_in_the_recorded_order(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Say hello.")
    script.reply(text("Good morning to you."))

    with client.beta.threads.runs.stream(**ids) as stream:
        names = [event.event for event in stream]

    told = list(dict.fromkeys(names))
    assert told == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]
    assert "".join(value_of(m) for m in stream.get_final_messages()) == "Good morning to you."


def test_text_arrives_while_the_model_still_speaks(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Say hello.")
    script.reply(text("One two three").hanging_after(3))

    with client.beta.threads.runs.stream(**ids) as stream:
        heard = next(stream.text_deltas)
        client.beta.threads.runs.cancel(stream.current_run.id, thread_id=ids["thread_id"])

    assert heard
    assert "One two".startswith(heard)


class Answering(AssistantEventHandler):
    """The handler of the reference's function calling example: it answers from inside the event."""

    def __init__(self, client: OpenAI) -> None:
        super().__init__()
        self.client = client
        self.heard: list[str] = []

    def on_event(self, event: AssistantStreamEvent) -> None:
        if event.event == "thread.run.requires_action":
            assert event.data.required_action is not None
            calls = event.data.required_action.submit_tool_outputs.tool_calls
            inner = Answering(self.client)
            with self.client.beta.threads.runs.submit_tool_outputs_stream(
                run_id=event.data.id,
                thread_id=event.data.thread_id,
                tool_outputs=[{"tool_call_id": c.id, "output": "-3 C"} for c in calls],
                event_handler=inner,
            ) as stream:
                stream.until_done()
            self.heard += inner.heard
        elif event.event == "thread.run.completed":
            self.heard.append("completed")

    def on_text_done(self, text: Any) -> None:
        self.heard.append(text.value)


def test_outputs_are_submitted_from_inside_the_event(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Weather in Oslo?", tools=[WEATHER])
    script.reply(tool_calls(call("weather", {"city": "Oslo"})), text("Minus three."))
    handler = Answering(client)

    with client.beta.threads.runs.stream(**ids, event_handler=handler) as stream:
        stream.until_done()

    assert handler.heard == ["Minus three.", "completed"]


async def test_the_asynchronous_client_streams(async_client: AsyncOpenAI, script: ScriptedServer) -> None:
    assistant = await async_client.beta.assistants.create(model="m")
    thread = await async_client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    script.reply(text("Hello there."))

    async with async_client.beta.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        heard = [delta async for delta in stream.text_deltas]

    assert "".join(heard) == "Hello there."
    assert len(heard) > 1
    run = (await async_client.beta.threads.runs.list(thread.id)).data[0]
    assert run.status == "completed"


def test_a_client_that_goes_away_does_not_end_the_run(client: OpenAI, script: ScriptedServer) -> None:
    ids = asked(client, "Say hello.")
    script.reply(text("Good morning to you."))

    with client.beta.threads.runs.stream(**ids) as stream:
        first = next(iter(stream))
    assert first.event == "thread.run.created"
    run = client.beta.threads.runs.poll(first.data.id, thread_id=ids["thread_id"])

    assert run.status == "completed"
    assert value_of(answer_of(client, run)) == "Good morning to you."
