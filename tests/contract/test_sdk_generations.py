"""Programs for other generations of the SDK, and for JavaScript, over a socket: only their base URL was changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import served
from tests.contract.sdks import run_javascript, run_program
from tests.scripted.server import ScriptedServer, call, text, tool_calls

VERSIONS = ["1.21.2", "1.47.0", "1.109.1", "3.52.0"]
"""The first with version 2 of the API, two from between, and one without `httpx`. The suite itself runs with 2.x."""

JAVASCRIPT = "6.49.0"

OSLO = {"city": "Oslo"}
BERGEN = {"city": "Bergen"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ScriptedServer]]:
    home: Path = tmp_path_factory.mktemp("home")
    with ScriptedServer() as script, served(home, script.base_url, None) as url:
        yield url, script


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_of_each_generation_gets_its_cited_answers(version: str, server: tuple[str, ScriptedServer]) -> None:
    url, script = server
    prepare(script)

    seen: dict[str, Any] = json.loads(run_program(version, "cited_answer.py", f"{url}/v1"))

    assert seen["version"] == version
    check(seen, script)


def test_a_program_in_javascript_gets_its_cited_answers(server: tuple[str, ScriptedServer]) -> None:
    url, script = server
    prepare(script)

    seen: dict[str, Any] = json.loads(run_javascript(JAVASCRIPT, "cited_answer.mjs", f"{url}/v1"))

    assert seen["version"] == JAVASCRIPT
    check(seen, script)


def prepare(script: ScriptedServer) -> None:
    """What the model says to the program."""
    script.requests.clear()
    script.reply(
        tool_calls(call("file_search", {"queries": ["lighthouse height"]})),
        text("It is 41 metres 高い high 【4:0†tower.txt】, they say."),
        tool_calls(call("file_search", {"queries": ["who keeps the light"]})),
        text("Ada Brandt does 【4:0†note.txt】."),
        tool_calls(call("temperature", OSLO, call_id="call_one"), call("rain", OSLO, call_id="call_two")),
        text("Cold and dry."),
        tool_calls(call("rain", BERGEN, call_id="call_three")),
        text("It rains."),
    )


def check(seen: dict[str, Any], script: ScriptedServer) -> None:
    """What the program must have seen of it, and the model of the program."""
    found = seen["file search"]
    assert found["batch"] == ["completed", 2]
    assert found["run"] == ["completed", True, 1]
    assert found["steps"] == ["tool_calls", "message_creation"]
    assert found["polled"] == ["It is 41 metres 高い high [0], they say.", ["[0] tower.txt"]]
    assert found["streamed"] == ["Ada Brandt does [0].", ["[0] note.txt"]]
    assert found["shown"].startswith("Ada Brandt does 【")
    assert found["seen"] == ["tool call: file_search", "text", "message"]
    assert found["roles"] == ["user", "assistant", "user", "assistant"]
    assert found["store deleted"] is True
    assert seen["functions"] == {
        "calls": [f"temperature({json.dumps(OSLO)})", f"rain({json.dumps(OSLO)})"],
        "streamed": "Cold and dry.",
        "polled": ["requires_action", "completed", "It rains."],
    }
    assert "No assistant found with id 'asst_none'." in seen["mistakes"][0]
    assert seen["mistakes"][1] == "role"
    outputs = [[m["content"] for m in chat["messages"] if m["role"] == "tool"] for chat in script.chats]
    assert outputs[5] == ["-3", "none"]
    assert outputs[7] == ["rain"]
