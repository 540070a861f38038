"""Programs of the beta of 2023, as its guides taught them: `retrieval`, `file_ids`, a loop that polls, footnotes.

`python beta_of_2023.py BASE_URL PART` prints what that part saw as one JSON object. `stream` and `cut_short` need the
last SDK of the beta (openai 1.20), everything else runs under the early ones too.
"""

import io
import json
import sys
import time
from typing import Any

import openai

client: Any = openai.OpenAI(base_url=sys.argv[1], api_key="any")  # newer SDKs have types for none of this


def upload() -> tuple[Any, Any]:
    """Two files."""
    hours = io.BytesIO(b"The museum opens at nine. On Mondays the museum is closed all day.")
    fees = io.BytesIO(b"Admission costs twelve euros.")
    return (
        client.files.create(file=("hours.txt", hours), purpose="assistants"),
        client.files.create(file=("fees.md", fees), purpose="assistants"),
    )


def wait(run: Any) -> Any:
    """Poll until the run has ended or wants something."""
    while run.status in {"queued", "in_progress", "cancelling"}:
        time.sleep(0.05)  # noqa: TID251 - as programs did it
        run = client.beta.threads.runs.retrieve(thread_id=run.thread_id, run_id=run.id)
    return run


def retrieval() -> Any:
    """A question about the file of an assistant and the file of a message."""
    hours, fees = upload()
    assistant = client.beta.assistants.create(
        name="Guide",
        instructions="Answer from the files.",
        model="gpt-4-1106-preview",
        tools=[{"type": "retrieval"}],
        file_ids=[hours.id],
    )
    thread = client.beta.threads.create()
    message = client.beta.threads.messages.create(
        thread_id=thread.id, role="user", content="When is it closed, and what does it cost?", file_ids=[fees.id]
    )
    run = wait(client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id))
    content = client.beta.threads.messages.list(thread_id=thread.id).data[0].content[0].text
    citations = []
    for index, annotation in enumerate(content.annotations):
        content.value = content.value.replace(annotation.text, f" [{index}]")
        cited_file = client.files.retrieve(annotation.file_citation.file_id)
        citations.append(f"[{index}] {annotation.file_citation.quote} from {cited_file.filename}")
    steps = client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=run.id, order="asc")
    called = steps.data[0].step_details.tool_calls[0]
    return {
        "status": run.status,
        "answer": content.value,
        "citations": citations,
        "assistant's files": run.file_ids == assistant.file_ids == [hours.id],
        "message's files": message.file_ids == [fees.id],
        "tools": [type(tool).__name__ for tool in assistant.tools],
        "steps": [step.type for step in steps.data],
        "call": [type(called).__name__, called.type, called.retrieval],
    }


def functions() -> Any:
    """A function that the model calls."""
    city = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "The weather in a city.", "parameters": city}
    assistant = client.beta.assistants.create(
        model="gpt-4-1106-preview", tools=[{"type": "function", "function": function}]
    )
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "How is Oslo?"}], metadata={"number": 1, "flag": True}
    )
    first = wait(client.beta.threads.runs.create(thread_id=thread.id, assistant_id=assistant.id))
    asked = first.required_action.submit_tool_outputs.tool_calls
    outputs = [
        {"tool_call_id": call.id, "output": json.loads(call.function.arguments)["city"] + ": rain"} for call in asked
    ]
    submitted = client.beta.threads.runs.submit_tool_outputs(thread_id=thread.id, run_id=first.id, tool_outputs=outputs)
    last = wait(submitted)
    messages = client.beta.threads.messages.list(thread_id=thread.id, order="asc")
    steps = client.beta.threads.runs.steps.list(thread_id=thread.id, run_id=last.id, order="asc")
    return {
        "tool": assistant.tools[0].model_dump() == {"type": "function", "function": function},
        "asked": [call.function.name for call in asked],
        "statuses": [first.status, submitted.status, last.status],
        "texts": [message.content[0].text.value for message in messages],
        "metadata": thread.metadata,
        "output": steps.data[0].step_details.tool_calls[0].function.output,
    }


def files() -> Any:
    """Files of assistants and messages."""
    hours, fees = upload()
    assistant = client.beta.assistants.create(model="gpt-4", tools=[{"type": "retrieval"}], file_ids=[hours.id])
    of_assistant = client.beta.assistants.files
    made = of_assistant.create(assistant_id=assistant.id, file_id=fees.id)
    listed = [file.id for file in of_assistant.list(assistant_id=assistant.id, limit=1)]
    read = of_assistant.retrieve(fees.id, assistant_id=assistant.id)
    gone = of_assistant.delete(hours.id, assistant_id=assistant.id)
    left = client.beta.assistants.retrieve(assistant.id).file_ids
    absent = ""
    try:
        of_assistant.retrieve(hours.id, assistant_id=assistant.id)
    except openai.NotFoundError as error:
        absent = str(error)
    changed = client.beta.assistants.update(assistant.id, file_ids=[hours.id], name="New")
    thread = client.beta.threads.create()
    message = client.beta.threads.messages.create(thread.id, role="user", content="Hi", file_ids=[hours.id, fees.id])
    of_message = client.beta.threads.messages.files.list(message.id, thread_id=thread.id, order="asc")
    one = client.beta.threads.messages.files.retrieve(fees.id, thread_id=thread.id, message_id=message.id)
    deleted = client.beta.assistants.delete(assistant.id)
    return {
        "made": [made.object, made.id == fees.id, made.assistant_id == assistant.id, read == made],
        "listed": listed == [fees.id, hours.id],
        "gone": [gone.object, gone.deleted, gone.id == hours.id],
        "left": left == [fees.id],
        "absent": f"No assistant file found with id '{hours.id}'." in absent,
        "changed": [changed.name, changed.file_ids == [hours.id]],
        "of message": [file.id for file in of_message] == [hours.id, fees.id],
        "one": [one.object, one.id == fees.id, one.message_id == message.id],
        "deleted": [deleted.object, deleted.deleted],
    }


def stream() -> Any:
    """The same answer, as it comes."""
    hours, _ = upload()
    assistant = client.beta.assistants.create(model="gpt-4", tools=[{"type": "retrieval"}], file_ids=[hours.id])
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "When is it closed?"}])
    seen: dict[str, Any] = {"text": "", "events": [], "calls": [], "quotes": []}

    class Handler(openai.AssistantEventHandler):
        def on_event(self, event: Any) -> None:
            if not event.event.endswith(".delta"):
                seen["events"].append(event.event)

        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            seen["text"] += delta.value or ""
            seen["quotes"] += [a.file_citation.quote for a in delta.annotations or ()]
            seen["same"] = seen["text"] == snapshot.value

        def on_tool_call_created(self, tool_call: Any) -> None:
            seen["calls"].append([type(tool_call).__name__, tool_call.retrieval])

    started = client.beta.threads.runs.create_and_stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=Handler()
    )
    with started as events:
        events.until_done()
        run = events.current_run
        (message,) = events.get_final_messages()
    cited = [annotation.file_citation for annotation in message.content[0].text.annotations]
    return seen | {
        "quotes": seen["quotes"] == [citation.quote for citation in cited] != [],
        "run": [run.status, run.file_ids == [hours.id]],
    }


def cut_short() -> Any:
    """A run whose answer is longer than it may be, and a poller that knows no status for that."""
    assistant = client.beta.assistants.create(model="gpt-4")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Tell me everything."}])
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant.id, max_completion_tokens=256, poll_interval_ms=20
    )
    return {"status": run.status, "reason": run.incomplete_details.reason}


PARTS = {part.__name__: part for part in (retrieval, functions, files, stream, cut_short)}

sys.stdout.write(json.dumps(PARTS[sys.argv[2]]()))
