"""Programs of the beta of 2023, with the SDKs of the time and nothing changed but `base_url`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from jsonschema import Draft4Validator
from openai import OpenAI

from tests.contract.conftest import served
from tests.contract.sdks import run_program
from tests.scripted.server import ScriptedServer, call, error, text, tool_calls

OLD_SDKS = ["1.3.7", "1.20.0"]
"""An early one of the beta, and the last before `assistants=v2`; it streams."""

DOCUMENT = Path(__file__).parents[2].parent / "shared/contract/assistants-v1-openapi.json"
"""The published OpenAPI document of version 1; too large to keep here, so it is compared where it happens to be."""

QUESTION = [{"role": "user", "content": "When is it closed?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ScriptedServer]]:
    with ScriptedServer() as script, served(tmp_path_factory.mktemp("home"), script.base_url, None) as url:
        yield url, script


@pytest.fixture
def url(server: tuple[str, ScriptedServer]) -> str:
    server[1].always(error(500, "The script has no reply left."))
    return server[0]


@pytest.fixture
def script(server: tuple[str, ScriptedServer]) -> ScriptedServer:
    return server[1]


@pytest.fixture
def v1(url: str) -> Iterator[httpx.Client]:
    """A client that sends what it is told, and takes no answer but a good one."""

    def refuse_errors(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    headers, hooks = {"OpenAI-Beta": "assistants=v1"}, {"response": [refuse_errors]}
    with httpx.Client(base_url=f"{url}/v1", headers=headers, event_hooks=hooks) as client:
        yield client


@pytest.fixture
def v2(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="any") as client:
        yield client


def answered(script: ScriptedServer, words: str) -> None:
    """The model searches once, and cites the passage that holds `words`."""
    script.requests.clear()
    script.reply(
        tool_calls(call("file_search", {"queries": ["closed museum", "admission costs", "height"]})),
        lambda request: text(f"It is so {mark_of(words, request.body)}."),
    )


def mark_of(words: str, body: dict[str, Any]) -> str:
    found = str(body["messages"][-1]["content"])
    before = found[: found.index(words)]
    return before[before.rindex("【") : before.rindex("】") + 1]


def run_part(sdk: str, url: str, part: str) -> Any:
    return json.loads(run_program(sdk, "beta_of_2023.py", f"{url}/v1", part))


@pytest.mark.parametrize("sdk", OLD_SDKS)
def test_retrieval_finds_the_files_of_the_assistant_and_of_the_message_at_once(
    url: str, script: ScriptedServer, sdk: str
) -> None:
    answered(script, "On Mondays")

    seen = run_part(sdk, url, "retrieval")

    shown = script.chats[-1]["messages"][-1]["content"]
    assert "closed all day" in shown
    assert "twelve euros" in shown
    (citation,) = seen.pop("citations")
    assert citation.startswith("[0] ")
    assert citation.endswith(" from hours.txt")
    assert seen == {
        "status": "completed",
        "answer": "It is so  [0].",
        "assistant's files": True,
        "message's files": True,
        "tools": ["ToolRetrieval" if sdk == "1.3.7" else "RetrievalTool"],
        "steps": ["tool_calls", "message_creation"],
        "call": ["RetrievalToolCall", "retrieval", {}],
    }


@pytest.mark.parametrize("sdk", OLD_SDKS)
def test_functions_are_called_and_answered(url: str, script: ScriptedServer, sdk: str) -> None:
    script.reply(tool_calls(call("weather", {"city": "Oslo"})), text("It rains."))

    assert run_part(sdk, url, "functions") == {
        "tool": True,
        "asked": ["weather"],
        "statuses": ["requires_action", "queued", "completed"],
        "texts": ["How is Oslo?", "It rains."],
        "metadata": {"number": "1", "flag": "True"},
        "output": "Oslo: rain",
    }


@pytest.mark.parametrize("sdk", OLD_SDKS)
def test_files_of_assistants_and_messages_are_objects_of_their_own(url: str, sdk: str) -> None:
    assert run_part(sdk, url, "files") == {
        "made": ["assistant.file", True, True, True],
        "listed": True,
        "gone": ["assistant.file.deleted", True, True],
        "left": True,
        "absent": True,
        "changed": ["New", True],
        "of message": True,
        "one": ["thread.message.file", True, True],
        "deleted": ["assistant.deleted", True],
    }


def test_the_last_sdk_of_version_1_streams(url: str, script: ScriptedServer) -> None:
    answered(script, "On Mondays")

    assert run_part("1.20.0", url, "stream") == {
        "text": "It is so 【4:0†hours.txt】.",
        "same": True,
        "quotes": True,
        "calls": [["RetrievalToolCall", {}]],
        "run": ["completed", True],
        "events": [
            *("thread.run.created", "thread.run.queued", "thread.run.in_progress"),
            *("thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.completed"),
            *("thread.run.step.created", "thread.run.step.in_progress"),
            *("thread.message.created", "thread.message.in_progress", "thread.message.completed"),
            *("thread.run.step.completed", "thread.run.completed"),
        ],
    }


def test_the_poller_of_the_time_ends_with_a_run_that_was_cut_short(url: str, script: ScriptedServer) -> None:
    script.reply(text("Everything is", finish="length"))

    assert run_part("1.20.0", url, "cut_short") == {"status": "completed", "reason": "max_completion_tokens"}


def uploaded(v1: httpx.Client, name: str = "tower.txt", content: bytes = b"The tower is 41 metres high.") -> str:
    answer = v1.post("/files", files={"file": (name, content)}, data={"purpose": "assistants"})
    return str(answer.json()["id"])


def ended(v1: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    for _ in range(1000):
        run = v1.get(f"/threads/{run['thread_id']}/runs/{run['id']}").json()
        if run["status"] not in {"queued", "in_progress"}:
            return run
    raise AssertionError(run)


def test_an_assistant_of_version_1_answers_programs_of_version_2(
    v1: httpx.Client, v2: OpenAI, script: ScriptedServer
) -> None:
    answered(script, "41 metres")
    file_id = uploaded(v1)
    body = {"model": "gpt-4", "tools": [{"type": "retrieval"}], "file_ids": [file_id]}
    made = v1.post("/assistants", json=body).json()

    seen = v2.beta.assistants.retrieve(made["id"])
    thread = v2.beta.threads.create(messages=[{"role": "user", "content": "How high is the tower?"}])
    run = v2.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=made["id"])

    assert [tool.type for tool in seen.tools] == ["file_search"]
    assert seen.tool_resources is not None
    assert seen.tool_resources.file_search is not None
    store_ids = seen.tool_resources.file_search.vector_store_ids
    assert store_ids
    (store_id,) = store_ids
    assert [f.id for f in v2.vector_stores.files.list(store_id)] == [file_id]
    assert "41 metres" in script.chats[-1]["messages"][-1]["content"]
    message = v2.beta.threads.messages.list(thread.id, run_id=run.id).data[0]
    assert message.content[0].type == "text"
    assert len(message.content[0].text.annotations) == 1
    shown = v1.get(f"/threads/{thread.id}/messages/{message.id}").json()
    assert shown["content"][0]["text"]["annotations"][0]["file_citation"].keys() == {"file_id", "quote"}


def test_an_assistant_of_version_2_answers_programs_of_version_1(
    v1: httpx.Client, v2: OpenAI, script: ScriptedServer
) -> None:
    answered(script, "Closed on")
    store = v2.vector_stores.create()
    file = v2.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=("a.txt", b"Closed on Mondays."))
    made = v2.beta.assistants.create(
        model="gpt-4",
        tools=[{"type": "file_search", "file_search": {"max_num_results": 3}}],
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )

    shown = v1.get(f"/assistants/{made.id}").json()
    changed = v1.post(f"/assistants/{made.id}", json={"name": "New", "tools": shown["tools"]}).json()
    run = v1.post("/threads/runs", json={"assistant_id": made.id, "thread": {"messages": QUESTION}}).json()

    assert (shown["file_ids"], shown["tools"]) == ([file.id], [{"type": "retrieval"}])
    assert changed == shown | {"name": "New"}
    assert ended(v1, run)["status"] == "completed"
    seen = v2.beta.assistants.retrieve(made.id)
    assert (seen.tools, seen.tool_resources) == (made.tools, made.tool_resources)


def test_the_files_of_a_thread_of_version_1_do_not_expire(v1: httpx.Client, v2: OpenAI, script: ScriptedServer) -> None:
    script.always(text("Yes."))
    assistant_id = v1.post("/assistants", json={"model": "gpt-4"}).json()["id"]
    messages = [{**QUESTION[0], "file_ids": [uploaded(v1)]}]
    made = v1.post("/threads", json={"messages": messages}).json()["id"]
    ran = v1.post("/threads/runs", json={"assistant_id": assistant_id, "thread": {"messages": messages}}).json()
    told, run_on = (v1.post("/threads").json()["id"] for _ in range(2))
    v1.post(f"/threads/{told}/messages", json=messages[0])
    v1.post(f"/threads/{run_on}/runs", json={"assistant_id": assistant_id, "additional_messages": messages})

    for thread_id in (made, ran["thread_id"], told, run_on):
        resources = v2.beta.threads.retrieve(thread_id).tool_resources
        assert resources is not None
        assert resources.file_search is not None
        (store_id,) = resources.file_search.vector_store_ids or [""]
        assert v2.vector_stores.retrieve(store_id).expires_after is None


def test_a_run_with_the_interpreter_is_refused_in_plain_words(v1: httpx.Client) -> None:
    body = {"model": "gpt-4", "tools": [{"type": "code_interpreter"}], "file_ids": [uploaded(v1, "a.png")]}
    made = v1.post("/assistants", json=body).json()

    with pytest.raises(httpx.HTTPStatusError) as caught:
        v1.post("/threads/runs", json={"assistant_id": made["id"], "thread": {"messages": QUESTION}})

    refusal = caught.value.response
    assert made["file_ids"] == body["file_ids"]
    assert (refusal.status_code, refusal.json()["error"]["param"]) == (400, "tools")
    assert "no code interpreter" in refusal.json()["error"]["message"]


def test_what_version_1_did_not_have_is_still_served(v1: httpx.Client, v2: OpenAI) -> None:
    thread = v1.post("/threads").json()
    message = v1.post(f"/threads/{thread['id']}/messages", json=QUESTION[0]).json()

    assert v1.delete(f"/threads/{thread['id']}/messages/{message['id']}").json()["deleted"]
    assert v1.get("/vector_stores").json()["object"] == "list"
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        v2.get("/assistants/asst_none/files", cast_to=object)


def test_every_object_fits_the_published_document(v1: httpx.Client, script: ScriptedServer) -> None:
    if not DOCUMENT.exists():
        pytest.skip(f"{DOCUMENT} is not here.")
    answered(script, "41 metres")
    a, b = uploaded(v1), uploaded(v1, "b.txt")
    body = {"model": "gpt-4", "tools": [{"type": "retrieval"}], "file_ids": [a], "metadata": {"n": 1}}
    assistant = v1.post("/assistants", json=body).json()
    thread = v1.post("/threads", json={"messages": [{**QUESTION[0], "file_ids": [b]}]}).json()
    at = f"/threads/{thread['id']}"
    queued = v1.post(f"{at}/runs", json={"assistant_id": assistant["id"], "instructions": "Be brief."}).json()
    run = ended(v1, queued)
    messages = v1.get(f"{at}/messages", params={"order": "asc"}).json()
    message = f"{at}/messages/{messages['first_id']}"

    objects = [
        ("AssistantObject", assistant),
        ("ListAssistantsResponse", v1.get("/assistants").json()),
        ("AssistantFileObject", v1.get(f"/assistants/{assistant['id']}/files/{a}").json()),
        ("ThreadObject", thread),
        ("ListMessagesResponse", messages),
        ("MessageObject", v1.post(message, json={"metadata": {"seen": False}}).json()),
        ("MessageFileObject", v1.get(f"{message}/files/{b}").json()),
        ("RunObject", queued),
        ("RunObject", run),
        ("ListRunsResponse", v1.get(f"{at}/runs").json()),
        ("ListRunStepsResponse", v1.get(f"{at}/runs/{run['id']}/steps").json()),
        ("DeleteAssistantFileResponse", v1.delete(f"/assistants/{assistant['id']}/files/{a}").json()),
        ("DeleteAssistantResponse", v1.delete(f"/assistants/{assistant['id']}").json()),
    ]

    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    assert run["status"] == "completed"
    for name, value in objects:
        schema = {"$ref": f"#/components/schemas/{name}", "components": nullables(document["components"])}
        problems = [f"{name}: {e.json_path}: {e.message}" for e in Draft4Validator(schema).iter_errors(value)]
        known = document["components"]["schemas"][name]["properties"].keys()
        assert (problems, sorted(value.keys() - known)) == ([], [])


def nullables(schema: Any) -> Any:
    """The document's `nullable`, which JSON Schema does not know, in its words."""
    if isinstance(schema, list):
        return [nullables(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: nullables(each) for key, each in schema.items()}
    return {"anyOf": [plain, {"type": "null"}]} if plain.pop("nullable", False) is True else plain
