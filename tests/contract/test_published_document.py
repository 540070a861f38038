"""Every operation that is served answers as OpenAI's published document says, but for the deviations written down."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.contract.published import DEVIATIONS, NOT_SERVED, Deviation, Exchange, Judge, document, watch
from tests.contract.test_runs import FACT, WEATHER
from tests.scripted.server import ScriptedServer, call, error, text, tool_calls

CONTENT: Any = ["step_details.tool_calls[*].file_search.results[*].content"]
SLIDES = Path(__file__).parents[1] / "data/lighthouse-slides.pptx"
QUESTION: Any = {"role": "user", "content": "How high is the lighthouse?"}
NAMES: Any = {"name": "N", "description": "D", "metadata": {"k": "v"}}


@pytest.fixture
def judge() -> Judge:
    return Judge(document())


@pytest.fixture
def tour(client: OpenAI, script: ScriptedServer, judge: Judge) -> Iterator[list[Exchange]]:
    """What every operation answers: with little and with much in the objects, plain and streamed, right and wrong."""
    del judge  # without the document, nothing of this is needed
    answered: list[Exchange] = []
    watch(client, answered, streams=True)
    store, file, batch = visit_vector_stores(client)
    assistant = visit_assistants(client, store)
    visit_uploads(client)
    visit_completions(client, script)
    visit_threads(client, file)
    visit_runs(client, script, assistant)
    visit_functions(client, script)
    visit_failures(client, script)
    visit_mistakes(client)
    client.vector_stores.file_batches.list_files(batch, vector_store_id=store)
    for name in ("assistants", "files", "vector_stores"):
        newest: Any = client.get(f"/{name}?limit=1", cast_to=object)
        client.get(f"/{name}?limit=100", cast_to=object)
        client.get(f"/{name}?order=asc&after={newest['last_id']}", cast_to=object)
    client.vector_stores.files.delete(file, vector_store_id=store)
    client.files.delete(file)
    client.vector_stores.delete(store)
    client.beta.assistants.delete(assistant)
    client.models.retrieve(client.models.list().data[0].id)
    yield answered
    watch(client, [])


def visit_vector_stores(client: OpenAI) -> tuple[str, str, str]:
    client.vector_stores.create()
    week: Any = {"anchor": "last_active_at", "days": 7}
    store = client.vector_stores.create(expires_after=week, **NAMES).id
    client.vector_stores.files.list(store)
    client.vector_stores.update(store, name="M", expires_after=None)
    file = client.files.create(file=("tower.txt", FACT), purpose="assistants").id
    evals = client.files.create(
        file=("e.txt", FACT), purpose="evals", expires_after={"anchor": "created_at", "seconds": 3600}
    ).id
    broken = client.files.create(file=("broken.pdf", b"%PDF-1.7 cut"), purpose="assistants").id
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    client.vector_stores.files.create(
        store, file_id=file, attributes={"a": "b", "n": 1, "x": 0.5, "t": True}, chunking_strategy=static
    )
    client.vector_stores.files.create(store, file_id=broken)
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=SLIDES)  # they have pages
    batch = client.vector_stores.file_batches.create(store, file_ids=[evals]).id
    client.vector_stores.file_batches.poll(batch, vector_store_id=store)
    client.vector_stores.file_batches.cancel(batch, vector_store_id=store)
    for each in (file, broken):
        client.vector_stores.files.poll(each, vector_store_id=store)
    client.vector_stores.files.update(file, vector_store_id=store, attributes={"a": "c"})
    client.vector_stores.files.list(store)
    client.vector_stores.files.content(file, vector_store_id=store)
    client.vector_stores.search(store, query=["lighthouse", "height"], ranking_options={"ranker": "auto"})
    client.vector_stores.retrieve(store)
    client.files.retrieve(evals)
    client.files.content(file).read()
    return store, file, batch


def visit_assistants(client: OpenAI, store: str) -> str:
    client.beta.assistants.create(model="gpt-4o")
    functions: Any = [WEATHER, {"type": "function", "function": {"name": "bare"}}, {"type": "code_interpreter"}]
    schema: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    client.beta.assistants.create(
        model="gpt-4o",
        tools=functions,
        response_format=schema,
        temperature=0,
        top_p=0.5,
        reasoning_effort="low",
        instructions="I",
        **NAMES,
    )
    made = client.beta.assistants.create(
        model="gpt-4o",
        tools=[{"type": "file_search", "file_search": {"max_num_results": 3}}],
        tool_resources={"file_search": {"vector_store_ids": [store]}},
    )
    client.beta.assistants.update(made.id, name="O")
    return client.beta.assistants.retrieve(made.id).id


def visit_completions(client: OpenAI, script: ScriptedServer) -> None:
    asked: Any = {"model": "gpt-4o", "messages": [QUESTION], "tools": [WEATHER]}
    script.reply(tool_calls(call("weather", {"city": "Oslo"})), text("Rain."))
    client.chat.completions.create(**asked)
    client.chat.completions.create(**asked)
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    client.embeddings.create(model="text-embedding-3-small", input="a")  # the SDK asks for base64


def visit_uploads(client: OpenAI) -> None:
    week: Any = {"anchor": "created_at", "seconds": 604_800}
    given: Any = {"filename": "u.txt", "purpose": "assistants", "bytes": len(FACT), "mime_type": "text/plain"}
    client.uploads.cancel(client.uploads.create(**given).id)
    upload = client.uploads.create(**given, expires_after=week).id
    part = client.uploads.parts.create(upload, data=FACT).id
    client.uploads.complete(upload, part_ids=[part])


def visit_threads(client: OpenAI, file: str) -> None:
    empty = client.beta.threads.create().id
    client.beta.threads.messages.list(empty)
    client.beta.threads.runs.list(empty)
    client.beta.threads.update(empty, metadata={"k": "v"})
    client.beta.threads.retrieve(empty)
    picture = client.files.create(file=("p.png", b"\x89PNG"), purpose="vision").id
    parts: Any = [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_file", "image_file": {"file_id": picture, "detail": "low"}},
    ]
    tools: Any = [{"type": "file_search"}]
    message = client.beta.threads.messages.create(
        empty, role="user", content=parts, attachments=[{"file_id": file, "tools": tools}], metadata={"k": "v"}
    ).id
    client.beta.threads.messages.retrieve(message, thread_id=empty)
    client.beta.threads.messages.update(message, thread_id=empty, metadata={})
    client.beta.threads.messages.list(empty, order="asc")
    client.beta.threads.retrieve(empty)
    client.beta.threads.messages.delete(message, thread_id=empty)
    client.beta.threads.delete(empty)


def visit_runs(client: OpenAI, script: ScriptedServer, assistant: str) -> None:
    def answer() -> None:
        script.reply(tool_calls(call("file_search", {"queries": ["height"]})), text("41 metres 【4:0†tower.txt】."))

    answer()
    thread = client.beta.threads.create(messages=[QUESTION]).id
    run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant, metadata={"k": "v"}).id
    for step in client.beta.threads.runs.steps.list(run, thread_id=thread).data:
        client.beta.threads.runs.steps.retrieve(step.id, thread_id=thread, run_id=run, include=CONTENT)
    client.beta.threads.runs.update(run, thread_id=thread, metadata={})
    client.beta.threads.messages.list(thread, run_id=run)
    client.beta.threads.runs.list(thread)
    answer()
    read(client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True, include=CONTENT))
    answer()
    read(client.beta.threads.create_and_run(assistant_id=assistant, thread={"messages": [QUESTION]}, stream=True))


def visit_functions(client: OpenAI, script: ScriptedServer) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o", tools=[WEATHER]).id

    def wait() -> Any:
        script.reply(tool_calls(call("weather", {"city": "Oslo"})))
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant, thread={"messages": [QUESTION]}, max_prompt_tokens=5000, max_completion_tokens=500
        )
        client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
        return run

    client.beta.threads.runs.cancel((waiting := wait()).id, thread_id=waiting.thread_id)
    steps = client.beta.threads.runs.steps.list(waiting.id, thread_id=waiting.thread_id)
    client.beta.threads.runs.steps.list(waiting.id, thread_id=waiting.thread_id, after=steps.data[-1].id)
    waiting = wait()
    given: Any = [{"tool_call_id": waiting.required_action.submit_tool_outputs.tool_calls[0].id, "output": "rain"}]
    script.reply(text("Rain."))
    read(
        client.beta.threads.runs.submit_tool_outputs(
            waiting.id, thread_id=waiting.thread_id, tool_outputs=given, stream=True
        )
    )
    client.beta.threads.runs.steps.list(waiting.id, thread_id=waiting.thread_id)


def visit_failures(client: OpenAI, script: ScriptedServer) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o").id
    script.reply(error(401, "This key is not known here."))
    read(client.beta.threads.create_and_run(assistant_id=assistant, thread={"messages": [QUESTION]}, stream=True))
    script.reply(text("One two", finish="length"))
    run = client.beta.threads.create_and_run_poll(assistant_id=assistant, thread={"messages": [QUESTION]})
    client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id)
    client.beta.threads.messages.list(run.thread_id)


def visit_mistakes(client: OpenAI) -> None:
    for status, ask in (
        (404, lambda: client.beta.threads.retrieve("none")),
        (404, lambda: client.files.retrieve("none")),
        (404, lambda: client.get("/nowhere", cast_to=object)),
        (405, lambda: client.delete("/assistants", cast_to=object)),
        (400, lambda: client.beta.assistants.list(limit=101)),
        (400, lambda: client.post("/assistants", cast_to=object, body={"model": 1})),
    ):
        refuse(ask, status)


def refuse(ask: Callable[[], object], status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask()
    assert caught.value.status_code == status


def read(stream: Any) -> None:
    for _ in stream:
        pass


def test_every_operation_answers_as_the_document_says(tour: list[Exchange], judge: Judge) -> None:
    faults = [fault for exchange in tour for fault in judge.faults(exchange)]

    assert not faults, "\n".join(faults)
    assert {judge.operation(e) for e in tour if e.status == 200} == judge.served
    assert {event["event"].split(".")[-1] for e in tour if e.kind == "text/event-stream" for event in e.body} >= {
        "created", "queued", "in_progress", "delta", "completed", "failed", "done",
    }  # fmt: skip


def test_every_deviation_is_needed(tour: list[Exchange]) -> None:
    def is_needed(deviation: Deviation) -> bool:
        strict = Judge(document(), [d for d in DEVIATIONS if d is not deviation])
        return any(strict.faults(exchange) for exchange in tour)

    assert [f"{d.schema}.{d.field}" for d in DEVIATIONS if not is_needed(d)] == []


def test_the_judge_sees_each_key_that_is_missing(tour: list[Exchange], judge: Judge) -> None:
    schemas = document()["components"]["schemas"]
    checked = 0
    for exchange in tour:
        name = {"assistant": "AssistantObject", "thread": "ThreadObject", "thread.run": "RunObject"}.get(
            exchange.body.get("object", "") if isinstance(exchange.body, dict) else ""
        )
        if name is not None:
            for key in schemas[name]["required"]:
                without = {k: v for k, v in exchange.body.items() if k != key}
                broken = Exchange(exchange.method, exchange.path, exchange.status, exchange.kind, without)
                assert judge.faults(broken), f"{name} without {key}"
                checked += 1
    assert checked > 50


def test_the_judge_sees_a_wrong_status_and_a_wrong_event(judge: Judge) -> None:
    body = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    event = {"event": "thread.run.created", "data": {"id": "run_1"}}

    assert judge.faults(Exchange("GET", "/v1/assistants", 404, "application/json", body)) == []
    assert judge.faults(Exchange("GET", "/v1/assistants", 500, "application/json", body))
    assert judge.faults(Exchange("GET", "/v1/assistants", 404, "application/json", {"error": "m"}))
    assert judge.faults(Exchange("POST", "/v1/threads/t/runs", 200, "text/event-stream", [event]))


def test_what_is_not_served_is_refused(client: OpenAI, judge: Judge) -> None:
    for method, path in NOT_SERVED:
        ask = client.post if method == "POST" else client.delete
        with pytest.raises(openai.APIStatusError) as caught:
            ask(path.replace("{", "").replace("}", ""), cast_to=object)
        assert caught.value.status_code in {404, 405}
