"""The server as seen by others than the SDK: wrong keys, web pages, foreign names, bodies that are too large."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from tests.contract.conftest import served
from tests.scripted.server import ScriptedServer


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("home")
    with (
        ScriptedServer() as script,
        served(home, script.base_url, None, environment={"LOCALASSIST_API_KEY": "secret"}) as url,
    ):
        yield url


def ask(
    url: str, method: str, path: str, *, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    sent = {"Authorization": "Bearer secret"} | {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)) as connection:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_a_wrong_key_is_an_authentication_error(url: str) -> None:
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="wrong-key-given") as client,
        pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"


def test_health_needs_no_key(url: str) -> None:
    status, _, body = ask(url, "GET", "/health", Authorization="")

    assert (status, json.loads(body)["status"]) == (200, "ok")


def test_a_browser_is_told_what_this_is_and_where_the_api_lives(url: str) -> None:
    status, _, body = ask(url, "GET", "/", Authorization="")

    assert (status, json.loads(body)["name"]) == (200, "localassist")
    assert json.loads(body)["base_url"] == f"{url}/v1"
    assert ask(url, "GET", "/v1/")[0] == 404  # the API has no such path


def test_every_path_is_served_with_and_without_v1(url: str) -> None:
    assert ask(url, "GET", "/v1/assistants")[0] == ask(url, "GET", "/assistants")[0] == 200


def test_a_web_page_of_another_site_is_refused(url: str) -> None:
    status, headers, body = ask(url, "POST", "/v1/threads", body=b"{}", Origin="https://evil.example")

    assert status == 403
    assert "web page" in json.loads(body)["error"]["message"]
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_foreign_name_for_this_machine_is_refused(url: str) -> None:
    assert ask(url, "GET", "/v1/assistants", Host="rebound.evil.example")[0] == 403


def test_a_json_body_that_is_too_large_is_refused(url: str) -> None:
    status, _, body = ask(url, "POST", "/v1/threads", body=b" " * (33 * 1024 * 1024))

    assert status == 413
    assert "larger than" in json.loads(body)["error"]["message"]


def test_a_compressed_body_is_refused_in_words(url: str) -> None:
    status, _, body = ask(url, "POST", "/v1/threads", body=b"\x1f\x8b", Content_Encoding="gzip")

    assert (status, "compressed" in body) == (400, True)


@pytest.mark.parametrize(
    "path", ["/v1/threads/%00", "/v1/threads/a%2Fb", "/v1/threads/" + "x" * 5000, "/v1/threads/%ff"]
)
def test_strange_ids_are_not_found(url: str, path: str) -> None:
    assert ask(url, "GET", path)[0] == 404
