"""What a program of those years does, with nothing but the SDK: files in, cited answers out, functions called.

`python cited_answer.py BASE_URL` prints what it saw as one JSON object. It runs under every SDK since version 2 of the
Assistants API began (openai 1.21), so it spells nothing in a way that only newer ones know.
"""

import json
import sys
import warnings
from typing import Any

import openai
from openai import AssistantEventHandler, OpenAI

warnings.simplefilter("ignore")  # newer SDKs call every line of this deprecated

WEATHER: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("temperature", "rain")
]


class Footnotes(AssistantEventHandler):
    """The handler of the published example: footnotes are made from the annotations when a message is done."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client
        self.shown = ""
        self.seen: list[str] = []
        self.footnotes: list[str] = []
        self.final = ""

    def on_tool_call_created(self, tool_call: Any) -> None:
        self.seen.append(f"tool call: {tool_call.type}")

    def on_text_created(self, text: Any) -> None:
        self.seen.append("text")

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.shown += delta.value or ""

    def on_message_done(self, message: Any) -> None:
        self.seen.append("message")
        self.final, self.footnotes = with_footnotes(self.client, message)


class Answering(AssistantEventHandler):
    """Answers the model's calls from inside the event, and goes on in the stream of the answer."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client
        self.calls: list[str] = []
        self.text = ""

    def on_event(self, event: Any) -> None:
        if event.event != "thread.run.requires_action":
            return
        outputs = []
        for call in event.data.required_action.submit_tool_outputs.tool_calls:
            self.calls.append(f"{call.function.name}({call.function.arguments})")
            outputs.append({"tool_call_id": call.id, "output": "-3" if call.function.name == "temperature" else "none"})
        with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=event.data.thread_id, run_id=event.data.id, tool_outputs=outputs
        ) as stream:
            self.text = "".join(stream.text_deltas)


def with_footnotes(client: Any, message: Any) -> tuple[str, list[str]]:
    text = message.content[0].text
    value, notes = text.value, []
    for index, annotation in enumerate(text.annotations):
        assert text.value[annotation.start_index : annotation.end_index] == annotation.text
        value = value.replace(annotation.text, f"[{index}]")
        notes.append(f"[{index}] {client.files.retrieve(annotation.file_citation.file_id).filename}")
    return value, notes


def file_search(client: Any) -> dict[str, Any]:
    stores = getattr(client, "vector_stores", None) or client.beta.vector_stores
    store = stores.create(name="harbour")
    files = [
        ("tower.txt", b"The lighthouse of Norrund is 41 metres high."),
        ("boats.md", b"# Boats\n\nThere are nine."),
    ]
    batch = stores.file_batches.upload_and_poll(vector_store_id=store.id, files=files)
    assistant = client.beta.assistants.create(model="gpt-4o", name="Keeper", tools=[{"type": "file_search"}])
    assistant = client.beta.assistants.update(
        assistant.id, tool_resources={"file_search": {"vector_store_ids": [store.id]}}
    )
    note = client.files.create(file=("note.txt", b"Ada Brandt keeps the light."), purpose="assistants")
    attached = {"file_id": note.id, "tools": [{"type": "file_search"}]}
    question = {"role": "user", "content": "How high is the lighthouse?"}
    thread = client.beta.threads.create(messages=[{**question, "attachments": [attached]}])
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    messages = list(client.beta.threads.messages.list(thread.id, run_id=run.id))
    steps = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc")
    polled, polled_notes = with_footnotes(client, messages[0])

    client.beta.threads.messages.create(thread.id, role="user", content="And who keeps the light?")
    handler = Footnotes(client)
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        stream.until_done()
    everything = list(client.beta.threads.messages.list(thread.id, limit=1, order="asc"))
    return {
        "batch": [batch.status, batch.file_counts.completed],
        "run": [run.status, run.usage.total_tokens > 0, len(messages)],
        "steps": [step.type for step in steps.data],
        "polled": [polled, polled_notes],
        "streamed": [handler.final, handler.footnotes],
        "shown": handler.shown,
        "seen": handler.seen,
        "roles": [message.role for message in everything],
        "store deleted": stores.delete(store.id).deleted,
    }


def functions(client: Any) -> dict[str, Any]:
    assistant = client.beta.assistants.create(model="gpt-4o", tools=WEATHER)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "The weather in Oslo?"}])
    handler = Answering(client)
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler
    ) as stream:
        stream.until_done()
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "In Bergen?"}]}
    )
    waiting = run.status
    outputs = [
        {"tool_call_id": call.id, "output": "rain"} for call in run.required_action.submit_tool_outputs.tool_calls
    ]
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs
    )
    [answer] = client.beta.threads.messages.list(run.thread_id, limit=1).data
    return {
        "calls": handler.calls,
        "streamed": handler.text,
        "polled": [waiting, run.status, answer.content[0].text.value],
    }


def mistakes(client: Any) -> list[str]:
    thread = client.beta.threads.create()
    seen = []
    try:
        client.beta.assistants.retrieve("asst_none")
    except openai.NotFoundError as error:
        seen.append(error.message)
    try:
        client.beta.threads.messages.create(thread.id, role="nobody", content="x")
    except openai.BadRequestError as error:
        seen.append(str(error.param))
    return seen


def main() -> None:
    client = OpenAI(base_url=sys.argv[1], api_key="any")
    seen = {
        "version": openai.__version__,
        "file search": file_search(client),
        "functions": functions(client),
        "mistakes": mistakes(client),
    }
    json.dump(seen, sys.stdout, ensure_ascii=True)


if __name__ == "__main__":
    main()
