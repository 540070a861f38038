"""Whatever is sent, the answer is the API's: no fault of ours, no status nobody expects, no body that is no JSON."""

import json
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.contract.conftest import database_of, served
from tests.contract.published import DOCUMENT, ERROR_STATUSES, Exchange, Judge, document, events_of
from tests.scripted.server import ScriptedServer, text

WORLDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
FUNCTION = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": False},
}
SEARCH = {
    "type": "file_search",
    "file_search": {"max_num_results": 3, "ranking_options": {"ranker": "auto", "score_threshold": 0.5}},
}
STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}
META = {"k": "v"}
MESSAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "Hi"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_file", "image_file": {"file_id": "{file}", "detail": "auto"}},
    ],
    "attachments": [{"file_id": "{file}", "tools": [{"type": "file_search"}]}],
    "metadata": META,
}
RESOURCES = {"code_interpreter": {"file_ids": ["{file}"]}, "file_search": {"vector_store_ids": ["{store}"]}}
NEW_RESOURCES = {
    "file_search": {
        "vector_stores": [{"file_ids": ["{file}"], "chunking_strategy": {"type": "auto"}, "metadata": META}]
    }
}
ASSISTANT = {
    "model": "m",
    "name": "N",
    "description": "D",
    "instructions": "I",
    "reasoning_effort": "low",
    "tools": [FUNCTION, SEARCH],
    "tool_resources": RESOURCES,
    "metadata": META,
    "temperature": 1.0,
    "top_p": 0.5,
    "response_format": SCHEMA,
}
THREAD = {"messages": [MESSAGE], "tool_resources": NEW_RESOURCES, "metadata": META}
RUN = {
    "assistant_id": "{assistant}",
    "model": "m",
    "instructions": "I",
    "tools": [FUNCTION],
    "metadata": META,
    "temperature": 0.5,
    "top_p": 1,
    "stream": False,
    "max_prompt_tokens": 256,
    "max_completion_tokens": 256,
    "truncation_strategy": {"type": "last_messages", "last_messages": 1},
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
}
STORE = {
    "file_ids": ["{file}"],
    "name": "N",
    "description": "D",
    "expires_after": {"anchor": "last_active_at", "days": 1},
    "chunking_strategy": STATIC,
    "metadata": META,
}
STORE_FILE = {"file_id": "{file}", "attributes": {"a": "b", "n": 1.5, "t": True}, "chunking_strategy": STATIC}
FILTERS = {
    "type": "and",
    "filters": [
        {"type": "eq", "key": "a", "value": "b"},
        {
            "type": "or",
            "filters": [{"type": "in", "key": "n", "value": [1, 2]}, {"type": "gt", "key": "n", "value": 1}],
        },
    ],
}
QUERY = {
    "query": ["a", "b"],
    "rewrite_query": False,
    "max_num_results": 5,
    "filters": FILTERS,
    "ranking_options": {"ranker": "auto", "score_threshold": 0.1},
}
BODIES: dict[str, Any] = {
    "/assistants": ASSISTANT,
    "/assistants/{assistant}": ASSISTANT,
    "/threads": THREAD,
    "/threads/runs": RUN | {"thread": THREAD, "tool_resources": RESOURCES},
    "/threads/{thread}": {"tool_resources": RESOURCES, "metadata": META},
    "/threads/{thread}/messages": MESSAGE,
    "/threads/{thread}/messages/{message}": {"metadata": META},
    "/threads/{thread}/runs": RUN | {"additional_instructions": "A", "additional_messages": [MESSAGE]},
    "/threads/{thread}/runs/{run}": {"metadata": META},
    "/threads/{thread}/runs/{run}/cancel": {},
    "/threads/{thread}/runs/{run}/submit_tool_outputs": {
        "tool_outputs": [{"tool_call_id": "call_1", "output": "o"}],
        "stream": False,
    },
    "/vector_stores": STORE,
    "/vector_stores/{store}": {"name": "N", "expires_after": STORE["expires_after"], "metadata": META},
    "/vector_stores/{store}/search": QUERY,
    "/vector_stores/{store}/files": STORE_FILE,
    "/vector_stores/{store}/files/{file}": {"attributes": STORE_FILE["attributes"]},
    "/vector_stores/{store}/file_batches": {"files": [STORE_FILE]},
    "/vector_stores/{store}/file_batches/{batch}/cancel": {},
}
"""Every operation with a body: one that is right, with everything that can be in it."""

LISTS = [
    "/assistants",
    "/threads/{thread}/messages",
    "/threads/{thread}/runs",
    "/threads/{thread}/runs/{run}/steps",
    "/files",
    "/vector_stores",
    "/vector_stores/{store}/files",
    "/vector_stores/{store}/file_batches/{batch}/files",
]
OBJECTS = [
    "/assistants/{assistant}",
    "/threads/{thread}",
    "/threads/{thread}/messages/{message}",
    "/threads/{thread}/runs/{run}",
    "/threads/{thread}/runs/{run}/steps/{step}",
    "/files/{file}",
    "/files/{file}/content",
    "/vector_stores/{store}",
    "/vector_stores/{store}/files/{file}",
    "/vector_stores/{store}/files/{file}/content",
    "/vector_stores/{store}/file_batches/{batch}",
    "/models/{model}",
]

odd_text = st.sampled_from(
    ["", " ", "\0", "a\0b", "\ud800", "😀", "\u202e", "../../etc/passwd", "' OR 1=1 --", "%00", "%", "{}", "{file}"]
    + ["x" * n for n in (65, 513, 256_001)]
)
odd_numbers = st.sampled_from(
    [0, -1, 1, 1.0, 1.5, -0.0, 2.1, 99, 4097, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 1e308]
)
leaves = st.none() | st.booleans() | odd_numbers | odd_text | st.text(max_size=5)
odd_values = st.one_of(
    leaves,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([["x"] * 2001, {str(n): "v" for n in range(17)}, {"k" * 65: "v"}, {"type": "auto"}, {"type": "?"}]),
    st.integers(2, 600).map(lambda depth: json.loads("[" * depth + "]" * depth)),
    st.integers(2, 600).map(lambda depth: json.loads('{"a":' * depth + "1" + "}" * depth)),
)
odd_ids = st.sampled_from(
    ["none", "a/b", "..", ".", "%2F", "\0", "\x7f", "😀", "'", '"', "a b", "?", "#", "+", ";", "x" * 5000, "runs"]
) | st.text(min_size=1, max_size=5).filter(lambda id_: id_.encode("utf-8", "ignore").decode() == id_)


@dataclass
class Server:
    """A server with one object of each kind."""

    http: httpx.Client
    ids: dict[str, str]
    judge: Judge | None

    def send(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """Ask, and see that the answer is one of the API's."""
        answer = self.http.request(method, path, **sent)
        exchange = exchange_of(answer)
        assert answer.status_code in {200, *ERROR_STATUSES}, (exchange, answer.text)
        if answer.status_code != 200:
            assert set(exchange.body["error"]) == {"message", "type", "param", "code"}
            assert exchange.body["error"]["message"]
            assert exchange.body["error"]["type"] == "invalid_request_error"
        if self.judge is not None:
            assert self.judge.faults(exchange) == []
        return answer

    def filled(self, value: Any) -> Any:
        """The value with the ids of objects that exist."""
        written = json.dumps(value)
        for name, id_ in self.ids.items():
            written = written.replace(f"{{{name}}}", id_)
        return json.loads(written)


def exchange_of(answer: httpx.Response) -> Exchange:
    kind = answer.headers.get("content-type", "").partition(";")[0]
    body = None
    if kind == "application/json":
        body = json.loads(answer.content)
    elif kind == "text/event-stream":
        body = events_of(answer.text)
    return Exchange(answer.request.method, answer.request.url.path, answer.status_code, kind, body)


@pytest.fixture(scope="module", params=WORLDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ScriptedServer() as script, database_of(request.param) as database_url:
        script.always(text("Hello."))
        with (
            served(tmp_path_factory.mktemp("home"), script.base_url, database_url) as url,
            httpx.Client(base_url=f"{url}/v1", timeout=20) as http,
        ):
            judge = Judge(document()) if DOCUMENT.exists() else None
            server = Server(http, {}, judge)
            make_objects(server)
            yield server
            assert http.get("/assistants").status_code == 200  # it lives


def make_objects(server: Server) -> None:
    def make(path: str, **sent: Any) -> dict[str, Any]:
        answer = server.send("POST", path, **sent)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    ids = server.ids
    ids["model"] = "localassist/extractive"
    ids["file"] = make("/files", files={"file": ("a.txt", b"Hello there.")}, data={"purpose": "assistants"})["id"]
    ids["store"] = make("/vector_stores", json={})["id"]
    ids["batch"] = make(f"/vector_stores/{ids['store']}/file_batches", json={"file_ids": [ids["file"]]})["id"]
    ids["assistant"] = make("/assistants", json={"model": "m"})["id"]
    ids["thread"] = make("/threads", json={})["id"]
    ids["message"] = make(f"/threads/{ids['thread']}/messages", json={"role": "user", "content": "Hi"})["id"]
    body = {"assistant_id": ids["assistant"], "stream": True}
    answer = server.send("POST", f"/threads/{ids['thread']}/runs", json=body)
    told = {event["event"]: event["data"] for event in events_of(answer.text)}
    ids["run"], ids["step"] = told["thread.run.completed"]["id"], told["thread.run.step.completed"]["id"]


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


def replaced(value: Any, at: tuple[str | int, ...], put: Any) -> Any:
    if not at:
        return put
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(copy[at[0]], at[1:], put)  # type: ignore[index] # a key of a dict, or of a list
    return copy


def without(value: Any, at: tuple[str | int, ...]) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(at) == 1:
        del copy[at[0]]  # type: ignore[arg-type] # the same
    else:
        copy[at[0]] = without(copy[at[0]], at[1:])  # type: ignore[index] # the same
    return copy


@st.composite
def changed_bodies(draw: st.DrawFn) -> tuple[str, Any]:
    """A right request with one or two places changed: another value, nothing, or one key more."""
    path = draw(st.sampled_from(sorted(BODIES)))
    body = BODIES[path]
    for _ in range(draw(st.integers(1, 2))):
        inside = list(places(body))[1:]
        somewhere: st.SearchStrategy[tuple[str | int, ...]] = st.sampled_from(inside) if inside else st.just(())
        at = draw(somewhere) if draw(st.integers(0, 19)) else ()
        how = draw(st.sampled_from(["value", "value", "nothing", "more"]))
        if how == "nothing" and at:
            body = without(body, at)
        elif how == "more":
            body = replaced(body, (), {**body, draw(odd_text): draw(leaves)}) if isinstance(body, dict) else body
        else:
            body = replaced(body, at, draw(odd_values))
    return path, body


GENERATED = settings(
    max_examples=2000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@GENERATED
@given(request=changed_bodies())
def test_any_json_gets_an_answer_of_the_api(server: Server, request: tuple[str, Any]) -> None:
    path, body = request
    server.send(
        "POST",
        server.filled(path),
        content=json.dumps(server.filled(body)),
        headers={"content-type": "application/json"},
    )


odd_bodies = [b"", b"null", b"[]", b'"x"', b"NaN", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"{" * 9999]
odd_kinds = ["application/json", "text/plain", "application/xml", "", "multipart/form-data"]
odd_kinds += ["multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "x" * 300]


@settings(GENERATED, max_examples=300)
@given(
    path=st.sampled_from(sorted([*BODIES, "/files"])),
    body=st.binary(max_size=50) | st.sampled_from(odd_bodies),
    kind=st.sampled_from(odd_kinds),
)
def test_any_bytes_of_any_type_get_an_answer_of_the_api(server: Server, path: str, body: bytes, kind: str) -> None:
    server.send("POST", server.filled(path), content=body, headers={"content-type": kind} if kind else {})


@settings(GENERATED, max_examples=800)
@given(data=st.data())
def test_any_id_gets_an_answer_of_the_api(server: Server, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([*OBJECTS, *LISTS, *sorted(BODIES)]))
    names = [name for _, name, _, _ in string.Formatter().parse(path) if name]
    if not names:
        return
    wrong = data.draw(st.sampled_from(names))
    odd = quote(data.draw(odd_ids), safe="")
    climbs = odd in {".", ".."}  # the client takes such a path apart before it sends it
    method = "GET" if climbs else data.draw(st.sampled_from(["GET", "DELETE", "POST"]))
    answer = server.send(
        method,
        path.format(**{**server.ids, wrong: odd}),
        **({"json": server.filled(BODIES.get(path, {}))} if method == "POST" else {}),
    )
    assert answer.status_code in {404, 405, 400, 200}
    if answer.status_code == 200:  # dots and the name of another path lead elsewhere
        assert climbs or odd == "runs", answer.request.url


odd_queries = ["", "0", "1", "-1", "101", "10001", "abc", "1.5", "٣", "9" * 5000, "asc", "desc", "foo", "\0", "none"]
odd_queries += ["completed", "assistants", "step_details.tool_calls[*].file_search.results[*].content"]
query_names = ["limit", "order", "after", "before", "filter", "run_id", "purpose", "include[]", "include", "x"]


@settings(GENERATED, max_examples=600)
@given(
    path=st.sampled_from(LISTS),
    query=st.dictionaries(st.sampled_from(query_names), st.sampled_from(odd_queries) | st.text(max_size=3), max_size=4),
)
@example(path="/assistants", query={"limit": "9" * 5000})
def test_any_query_gets_an_answer_of_the_api(server: Server, path: str, query: dict[str, str]) -> None:
    server.send("GET", server.filled(path), params=query)


odd_fields = ["assistants", "vision", "created_at", "3600", "3599", "2592001", "1e3", "", "\0", "x" * 70_000]
field_names = ["purpose", "expires_after[anchor]", "expires_after[seconds]", "x"]


@settings(GENERATED, max_examples=300)
@given(
    name=odd_ids,
    contents=st.binary(max_size=30),
    fields=st.dictionaries(st.sampled_from(field_names), st.sampled_from(odd_fields)),
)
def test_any_upload_gets_an_answer_of_the_api(
    server: Server, name: str, contents: bytes, fields: dict[str, str]
) -> None:
    server.send("POST", "/files", files={"file": (name, contents)}, data=fields)


@pytest.mark.parametrize("path", sorted(BODIES))
def test_the_request_that_is_changed_is_right_itself(server: Server, path: str) -> None:
    ended = path.endswith(("cancel", "submit_tool_outputs"))
    body = server.filled(BODIES[path])
    if path in {"/threads/{thread}/messages", "/threads/{thread}/runs"}:  # a thread of its own, that no run holds
        thread = server.send("POST", "/threads", json={}).json()["id"]
        answer = server.send("POST", path.format(thread=thread), json=body)
    else:
        answer = server.send("POST", server.filled(path), json=body)

    assert answer.status_code == 200 or (ended and answer.status_code == 400), answer.text
