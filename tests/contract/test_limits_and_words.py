"""Each limit of the API holds to the digit, and a request beyond it is told so in the hosted service's own words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.contract.conftest import served
from tests.contract.test_generated_requests import FUNCTION, Server, make_objects
from tests.scripted.server import RecordedRequest, Reply, ScriptedServer, call, text, tool_calls


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def calls_the_function_if_there_is_one(request: RecordedRequest) -> Reply:
        asked = "tools" in request.body and request.body["messages"][-1]["role"] != "tool"
        return tool_calls(call("f", {})) if asked else text("Hello.")

    with ScriptedServer() as script:
        script.always(calls_the_function_if_there_is_one)
        with (
            served(tmp_path_factory.mktemp("home"), script.base_url, None) as url,
            httpx.Client(base_url=f"{url}/v1", timeout=20) as http,
        ):
            server = Server(http, {}, None)
            make_objects(server)
            yield server


@dataclass(frozen=True)
class Limit:
    """A limit: how a body looks with a certain amount of something, and the least that is too much, or too little."""

    path: str
    body: Callable[[Any], dict[str, Any]]
    most: Any
    beyond: Any
    param: str
    code: str


def chunks(size: int, overlap: int) -> dict[str, Any]:
    static = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}
    return {"chunking_strategy": {"type": "static", "static": static}}


def message(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"} | fields]}


ASSISTANTS, STORES, RUNS = "/assistants", "/vector_stores", "/threads/runs"
FILES_OF_CODE = "tool_resources.code_interpreter.file_ids"
LIMITS = {
    "name": Limit(ASSISTANTS, lambda n: {"model": "m", "name": "x" * n}, 256, 257, "name", "string_above_max_length"),
    "description": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "description": "😀" * n},
        512,
        513,
        "description",
        "string_above_max_length",
    ),
    "instructions": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "instructions": "x" * n},
        256_000,
        256_001,
        "instructions",
        "string_above_max_length",
    ),
    "tools": Limit(
        ASSISTANTS, lambda n: {"model": "m", "tools": [FUNCTION] * n}, 128, 129, "tools", "array_above_max_length"
    ),
    "temperature": Limit(
        ASSISTANTS, lambda x: {"model": "m", "temperature": x}, 2.0, 2.1, "temperature", "decimal_above_max_value"
    ),
    "temperature below": Limit(
        ASSISTANTS, lambda x: {"model": "m", "temperature": x}, 0, -0.1, "temperature", "decimal_below_min_value"
    ),
    "top_p": Limit(ASSISTANTS, lambda x: {"model": "m", "top_p": x}, 1, 1.1, "top_p", "decimal_above_max_value"),
    "metadata": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "metadata": {str(k): "v" for k in range(n)}},
        16,
        17,
        "metadata",
        "object_above_max_properties",
    ),
    "metadata key": Limit(
        "/threads", lambda n: {"metadata": {"k" * n: "v"}}, 64, 65, "metadata", "property_name_above_max_length"
    ),
    "metadata value": Limit(
        "/threads", lambda n: {"metadata": {"k": "v" * n}}, 512, 513, "metadata.k", "string_above_max_length"
    ),
    "function name": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "tools": [{"type": "function", "function": {"name": "f" * n}}]},
        64,
        65,
        "tools[0].function.name",
        "invalid_value",
    ),
    "results of a tool": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "tools": [{"type": "file_search", "file_search": {"max_num_results": n}}]},
        50,
        51,
        "tools[0].file_search.max_num_results",
        "integer_above_max_value",
    ),
    "files of code_interpreter": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "tool_resources": {"code_interpreter": {"file_ids": ["{file}"] * n}}},
        20,
        21,
        FILES_OF_CODE,
        "array_above_max_length",
    ),
    "stores of an assistant": Limit(
        ASSISTANTS,
        lambda n: {"model": "m", "tool_resources": {"file_search": {"vector_store_ids": ["{store}"] * n}}},
        1,
        2,
        "tool_resources.file_search.vector_store_ids",
        "array_above_max_length",
    ),
    "content": Limit(
        "/threads",
        lambda n: message(content="x" * n),
        256_000,
        256_001,
        "messages[0].content",
        "string_above_max_length",
    ),
    "parts of a message": Limit(
        "/threads",
        lambda n: message(content=[{"type": "text", "text": "x"}] * n),
        1,
        0,
        "messages[0].content",
        "empty_array",
    ),
    "tools of a run": Limit(
        RUNS,
        lambda n: {"assistant_id": "{assistant}", "thread": message(), "tools": [FUNCTION] * n},
        20,
        21,
        "tools",
        "array_above_max_length",
    ),
    **{
        name: Limit(
            RUNS,
            lambda n, name=name: {"assistant_id": "{assistant}", "thread": message(), name: n},  # type: ignore[misc] # bound
            256,
            255,
            name,
            "integer_below_min_value",
        )
        for name in ("max_prompt_tokens", "max_completion_tokens")
    },
    "last_messages": Limit(
        RUNS,
        lambda n: {
            "assistant_id": "{assistant}",
            "thread": message(),
            "truncation_strategy": {"type": "last_messages", "last_messages": n},
        },
        1,
        0,
        "truncation_strategy.last_messages",
        "integer_below_min_value",
    ),
    "least chunk": Limit(
        STORES,
        lambda n: chunks(n, 0),
        100,
        99,
        "chunking_strategy.static.max_chunk_size_tokens",
        "integer_below_min_value",
    ),
    "largest chunk": Limit(
        STORES,
        lambda n: chunks(n, 0),
        4096,
        4097,
        "chunking_strategy.static.max_chunk_size_tokens",
        "integer_above_max_value",
    ),
    "overlap": Limit(STORES, lambda n: chunks(801, n), 400, 401, "chunking_strategy.static", "invalid_value"),
    "negative overlap": Limit(
        STORES,
        lambda n: chunks(800, n),
        0,
        -1,
        "chunking_strategy.static.chunk_overlap_tokens",
        "integer_below_min_value",
    ),
    "files of a store": Limit(
        STORES, lambda n: {"file_ids": ["{file}"] * n}, 500, 501, "file_ids", "array_above_max_length"
    ),
    "days": Limit(
        STORES,
        lambda n: {"expires_after": {"anchor": "last_active_at", "days": n}},
        365,
        366,
        "expires_after.days",
        "integer_above_max_value",
    ),
    "no days": Limit(
        STORES,
        lambda n: {"expires_after": {"anchor": "last_active_at", "days": n}},
        1,
        0,
        "expires_after.days",
        "integer_below_min_value",
    ),
    "files of a batch": Limit(
        "/vector_stores/{store}/file_batches",
        lambda n: {"file_ids": ["{file}"] * n},
        2000,
        2001,
        "file_ids",
        "array_above_max_length",
    ),
    "results of a search": Limit(
        "/vector_stores/{store}/search",
        lambda n: {"query": "q", "max_num_results": n},
        50,
        51,
        "max_num_results",
        "integer_above_max_value",
    ),
    "attribute": Limit(
        "/vector_stores/{store}/files",
        lambda n: {"file_id": "{file}", "attributes": {"k": "v" * n}},
        512,
        513,
        "attributes.k",
        "string_above_max_length",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_holds_to_the_digit(server: Server, name: str) -> None:
    limit = LIMITS[name]

    kept = server.send("POST", server.filled(limit.path), json=server.filled(limit.body(limit.most)))
    refused = server.send("POST", server.filled(limit.path), json=server.filled(limit.body(limit.beyond)))

    assert kept.status_code == 200, kept.text
    error = refused.json()["error"]
    assert (refused.status_code, error["param"], error["code"]) == (400, limit.param, limit.code), error


@pytest.mark.parametrize(
    ("query", "message", "param", "code"),
    [
        ("limit=101", "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
         "limit", "integer_above_max_value"),
        ("limit=0", "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
         "limit", "integer_below_min_value"),
        ("limit=abc", "Invalid type for 'limit': expected an integer, but got a string instead.",
         "limit", "invalid_type"),
        ("order=foo", "Invalid value: 'foo'. Supported values are: 'asc' and 'desc'.", "order", "invalid_value"),
        ("after=none", "Invalid 'after': no object of this list has the id 'none'.", "after", None),
    ],
)  # fmt: skip
def test_a_wrong_page_is_refused(server: Server, query: str, message: str, param: str, code: str | None) -> None:
    for path in ("/assistants", "/vector_stores", "/threads/{thread}/messages", "/threads/{thread}/runs/{run}/steps"):
        answer = server.send("GET", f"{server.filled(path)}?{query}")

        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "message": message, "type": "invalid_request_error", "param": param, "code": code,
        }  # fmt: skip


ABSENT = {
    "/assistants/x": ("No assistant found with id 'x'.", None),
    "/threads/x": ("No thread found with id 'x'.", None),
    "/threads/x/messages": ("No thread found with id 'x'.", None),
    "/threads/{thread}/messages/x": ("No message found with id 'x'.", None),
    "/threads/{thread}/runs/x": ("No run found with id 'x'.", None),
    "/threads/{thread}/runs/{run}/steps/step_123": ("No run step found with id 'step_123'.", None),
    "/vector_stores/x": ("No vector store found with id 'x'.", None),
    "/files/x": ("No such File object: x", "id"),
    "/files/x/content": ("No such File object: x", "id"),
}


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_absent_is_named_in_the_services_words(server: Server, path: str) -> None:
    answer = server.send("GET", server.filled(path))
    message, param = ABSENT[path]

    assert answer.status_code == 404
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    detail = {"detail": {"message": message, "code": None}} if path.startswith("/files") else {}
    assert answer.json() == {"error": error, **detail}  # recorded: operations on files say it twice


def test_a_model_that_does_not_exist_is_named(server: Server) -> None:
    error = server.send("GET", "/models/gpt-9").json()["error"]

    assert (error["message"], error["param"], error["code"]) == (
        "The model 'gpt-9' does not exist", "model", "model_not_found",
    )  # fmt: skip


def test_a_wrong_purpose_is_told_the_purposes_twice(server: Server) -> None:
    body = server.send("POST", "/files", files={"file": ("a.txt", b"a")}, data={"purpose": "world_domination"}).json()

    words = (
        "'world_domination' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] "
        "- 'purpose'"
    )
    assert body["error"] == {"message": words, "type": "invalid_request_error", "param": "purpose", "code": None}
    assert body["detail"] == {"message": words, "code": None}


@pytest.mark.parametrize("seconds", [3599, 2_592_001])
def test_a_file_expires_within_an_hour_to_a_month(server: Server, seconds: int) -> None:
    fields = {"purpose": "assistants", "expires_after[anchor]": "created_at", "expires_after[seconds]": str(seconds)}

    answer = server.send("POST", "/files", files={"file": ("a.txt", b"a")}, data=fields)

    assert answer.status_code == 400
    assert str(seconds) in answer.json()["error"]["message"]


def test_a_file_of_a_kind_that_is_not_supported_is_refused(server: Server) -> None:
    file = server.send("POST", "/files", files={"file": ("a.exe", b"MZ")}, data={"purpose": "assistants"}).json()["id"]

    error = server.send("POST", server.filled("/vector_stores"), json={"file_ids": [file]}).json()["error"]

    assert error["message"].startswith("Files with extensions [.exe] are not supported for retrieval. ")
    assert (error["param"], error["code"]) == ("file_ids", "unsupported_file")


def waiting_run(server: Server) -> tuple[str, str, list[str]]:
    """A run that waits for the output of a function: its thread, its id, its calls."""
    body = {"assistant_id": "{assistant}", "thread": message(), "tools": [FUNCTION], "stream": True}
    told = server.send("POST", "/threads/runs", json=server.filled(body)).text
    line = next(each for each in told.split("\n\n") if each.startswith("event: thread.run.requires_action"))
    run = httpx.Response(200, content=line.partition("data: ")[2].encode()).json()
    calls = [each["id"] for each in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
    return run["thread_id"], run["id"], calls


def test_a_run_in_the_wrong_state_says_so_in_the_services_words(server: Server) -> None:
    def words(path: str, body: dict[str, Any]) -> str:
        answer = server.send("POST", path, json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", None)
        return str(error["message"])

    thread, run, calls = waiting_run(server)
    of_run = f"/threads/{thread}/runs/{run}"
    more = {"role": "user", "content": "More"}
    outputs = {"tool_outputs": [{"tool_call_id": "call_other", "output": "o"}]}

    assert words(f"/threads/{thread}/messages", more) == (
        f"Can't add messages to {thread} while a run {run} is active."
    )
    assert words(f"/threads/{thread}/runs", {"assistant_id": server.ids["assistant"]}) == (
        f"Thread {thread} already has an active run {run}."
    )
    assert words(f"{of_run}/submit_tool_outputs", outputs) == (
        f"Expected tool outputs for call_ids {calls}, got ['call_other']"
    )
    assert server.send("POST", f"{of_run}/cancel").json()["status"] == "cancelled"
    assert words(f"{of_run}/submit_tool_outputs", outputs) == ('Runs in status "cancelled" do not accept tool outputs.')
    assert words(f"{of_run}/cancel", {}) == "Cannot cancel run with status 'cancelled'."


def test_a_run_with_nothing_to_answer_is_refused(server: Server) -> None:
    thread = server.send("POST", "/threads").json()["id"]

    answer = server.send("POST", f"/threads/{thread}/runs", json={"assistant_id": server.ids["assistant"]})

    assert answer.json()["error"] == {
        "message": "Run creation requires a Thread with a user message or an assistant with instructions.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_thread",
    }


@pytest.mark.parametrize(
    "filters",
    [
        {}, {"type": "eq"}, {"type": "eq", "key": "k"}, {"type": "like", "key": "k", "value": "v"},
        {"type": "and"}, {"type": "and", "filters": {}}, {"type": "and", "filters": [1]},
        {"type": "eq", "key": 1, "value": "v"}, {"type": "in", "key": "k", "value": "v"},
        {"type": "eq", "key": "k", "value": {"a": 1}}, {"type": "or", "filters": [{"type": "and", "filters": [{}]}]},
    ],
)  # fmt: skip
def test_a_malformed_filter_is_refused(server: Server, filters: Any) -> None:
    answer = server.send(
        "POST", server.filled("/vector_stores/{store}/search"), json={"query": "q", "filters": filters}
    )

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "filters"), answer.text
