"""Every object has the keys, in the order and with the types, that recorded traffic of the hosted API shows."""

import json
from typing import Any

from openai import OpenAI

from tests.contract.shapes import SHAPES, objects, places, streamed_objects, type_of
from tests.contract.test_runs import WEATHER, asked, searching
from tests.scripted.server import ScriptedServer, call, text, tool_calls

RECORDED: dict[str, Any] = json.loads(SHAPES.read_text(encoding="utf-8"))

BEYOND: dict[str, set[str]] = {
    ".content[].text.annotations[].file_citation": {"quote", "page", "start_index", "end_index", "file_name"},
    ".delta.content[].text.annotations[].file_citation": {"page", "start_index", "end_index", "file_name"},
    ".step_details.tool_calls[].file_search": {"queries"},
    ".step_details.tool_calls[].file_search.results[]": {"content", "page", "start_index", "end_index"},
    ".delta.step_details.tool_calls[].file_search": {"queries"},
    ".response_format": {"json_schema"},
}
"""Keys beyond recorded traffic: our additions, which `docs/differences.md` lists, and a format that nobody recorded."""

BEYOND_OF_KIND = {"vector_store.file": {"report"}, "thread.message": {"attachments"}}
"""The same of whole objects; a recorded modification of a message answers with `file_ids` instead of `attachments`."""

OPTIONAL = {"max_num_results", "code_interpreter", "content", "description"}
"""Present in every recording, but only because of what those clients had sent."""

WIDER = {("integer", "number"), ("null", "string"), ("null", "integer"), ("null", "object")}
"""What recordings happened to show of a value that can be either."""


def differences(kind: str, value: dict[str, Any]) -> list[str]:
    found = []
    for place, inner in places(value):
        shape = RECORDED[kind].get(place)
        if shape is None:
            continue
        known = set(shape["types"]) | BEYOND.get(place, set())
        if not place:
            known |= BEYOND_OF_KIND.get(kind, set())
        found += [f"{kind}{place}: {key!r} is not in recorded traffic" for key in inner if key not in known]
        found += [f"{kind}{place}: {key!r} is missing" for key in shape["always"] if key not in {*inner, *OPTIONAL}]
        for key, held in inner.items():
            types = shape["types"].get(key, [type_of(held)])
            wider = any((type_of(held), t) in WIDER or (t, type_of(held)) in WIDER for t in types)
            if type_of(held) not in types and not wider:
                found.append(f"{kind}{place}.{key}: {type_of(held)}, not {' or '.join(types)}")
        if kind != "file":  # recorded files come in two orders
            ours = [key for key in inner if key in shape["always"]]
            theirs = [key for key in shape["always"] if key in inner]
            if ours != theirs:
                found.append(f"{kind}{place}: the keys stand as {ours}, not as {theirs}")
    return found


def test_objects_over_rest_have_the_recorded_shapes(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(tool_calls(call("file_search", {"queries": ["height"]})), text("41 metres 【4:0†tower.txt】."))
    ids = searching(client, "How high is the lighthouse?")
    run = client.beta.threads.runs.create_and_poll(**ids)
    script.reply(tool_calls(call("weather", {"city": "Oslo"})))
    waiting = client.beta.threads.runs.create_and_poll(**asked(client, "Weather?", tools=[WEATHER]))
    store = client.vector_stores.list(limit=1).data[0].id
    file = client.vector_stores.files.list(store).data[0].id
    batch = client.vector_stores.file_batches.create(store, file_ids=[file]).id
    thread, assistant = ids["thread_id"], ids["assistant_id"]

    seen: dict[str, int] = {}
    wrong: list[str] = []
    for path in [
        f"/assistants/{assistant}", "/assistants", f"/threads/{thread}", f"/threads/{thread}/messages",
        f"/threads/{thread}/runs", f"/threads/{thread}/runs/{run.id}/steps", f"/files/{file}", "/files",
        f"/vector_stores/{store}", "/vector_stores", f"/vector_stores/{store}/files",
        f"/vector_stores/{store}/file_batches/{batch}", f"/threads/{waiting.thread_id}/runs/{waiting.id}",
        f"/threads/{waiting.thread_id}/runs/{waiting.id}/steps",
    ]:  # fmt: skip
        body = client.get(path, cast_to=object)
        for kind, value in objects(body, streamed=False):
            seen[kind] = seen.get(kind, 0) + 1
            wrong += differences(kind, value)
    for path in [f"/threads/{thread}", f"/vector_stores/{store}/files/{file}", f"/vector_stores/{store}",
                 f"/assistants/{assistant}"]:  # fmt: skip
        for kind, value in objects(client.delete(path, cast_to=object), streamed=False):
            seen[kind] = seen.get(kind, 0) + 1
            wrong += differences(kind, value)

    assert list(dict.fromkeys(wrong)) == []
    assert set(seen) == {k for k in RECORDED if not k.endswith("(stream)")} - {"thread.message.deleted"}


def test_objects_in_a_stream_have_the_recorded_shapes(client: OpenAI, script: ScriptedServer) -> None:
    script.reply(tool_calls(call("file_search", {"queries": ["height"]})), text("41 metres 【4:0†tower.txt】."))
    ids = searching(client, "How high is the lighthouse?")
    function = asked(client, "Weather?", tools=[WEATHER])

    with client.beta.threads.runs.with_streaming_response.create(**ids, stream=True) as answer:
        told = whole(answer)
    script.reply(tool_calls(call("weather", {"city": "Oslo"})))
    with client.beta.threads.with_streaming_response.create_and_run(
        assistant_id=function["assistant_id"],
        thread={"messages": [{"role": "user", "content": "Weather?"}]},
        stream=True,
    ) as answer:
        told += whole(answer)

    assert told.count("event: done\ndata: [DONE]\n\n") == 2
    seen, wrong = set(), []
    for kind, value in streamed_objects(told):
        seen.add(kind)
        wrong += differences(kind, value)
    assert list(dict.fromkeys(wrong)) == []
    assert seen == {k for k in RECORDED if k.endswith("(stream)")}


def whole(answer: Any) -> str:
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return b"".join(answer.iter_bytes()).decode()


def test_the_comparison_finds_what_differs(client: OpenAI) -> None:
    made = client.beta.threads.create()
    thread: Any = client.get(f"/threads/{made.id}", cast_to=object)
    shuffled = dict(reversed(thread.items()))
    without_id = {key: value for key, value in thread.items() if key != "id"}

    assert differences("thread", thread) == []
    assert differences("thread", thread | {"colour": "red"}) == ["thread: 'colour' is not in recorded traffic"]
    assert differences("thread", thread | {"created_at": "now"}) == ["thread.created_at: string, not integer"]
    assert "thread: 'id' is missing" in differences("thread", without_id)
    assert [d.partition(" as ")[0] for d in differences("thread", shuffled)] == ["thread: the keys stand"]
