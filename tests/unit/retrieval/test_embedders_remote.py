"""Embedding at an endpoint: a small server of our own stands for it, over real HTTP."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from localassist.egress import Egress
from localassist.errors import EgressError, ModelError
from localassist.retrieval.embed import WindowPlan
from localassist.retrieval.embedders.hashing import HashingModel
from localassist.retrieval.embedders.remote import HttpEndpoint, RemoteEmbedder, read_vectors


class Server(ThreadingHTTPServer):
    """Answers with the first of `answers` (status, body, headers), or with vectors where none is left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append({"path": self.path, "key": self.headers.get("authorization"), **body})
        status, content, headers = self.server.answers.pop(0) if self.server.answers else (200, vectors(body), {})
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def vectors(body: dict[str, Any]) -> bytes:
    """Give a vector of each text's length and number of a's, in the wrong order, as a server may."""
    data = [{"index": i, "embedding": [len(t), t.count("a"), 1.0]} for i, t in enumerate(body["input"])]
    return json.dumps({"data": data[::-1]}).encode()


def spans(text: str):
    return HashingModel().tokenize(text)[1].astype(np.int64)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def embedder_at(server: Server, *, waits: list[float] | None = None, batch_size: int = 2) -> RemoteEmbedder:
    endpoint = HttpEndpoint("m", base_url=server.url, check_host=Egress().check, api_key="k")
    return RemoteEmbedder(
        endpoint,
        name="m at the server",
        spans=spans,
        plan=WindowPlan(size=4, stride=3),
        batch_size=batch_size,
        wait=([] if waits is None else waits).append,
    )


def test_queries_are_embedded_in_order_to_unit_vectors(server: Server):
    embedder = embedder_at(server)

    vectors = embedder.embed_query(["aa", "bbb"])
    embedder.embed_query(["aa"])

    np.testing.assert_allclose(vectors, [np.array([2, 2, 1]) / 3, np.array([3, 0, 1]) / 10**0.5], rtol=1e-5)
    assert [request["input"] for request in server.requests] == [["aa"], ["bbb"]]
    assert {(r["path"], r["key"], r["model"]) for r in server.requests} == {("/v1/embeddings", "Bearer k", "m")}
    assert embedder.dim == 3


def test_a_text_is_sent_in_windows_and_has_no_sub_windows(server: Server):
    heard: list[tuple[int, int]] = []
    text = "a b c d 漢字 e f 😀 g"

    result = embedder_at(server).embed_text(text, progress=lambda *args: heard.append(args))

    sent = [part for request in server.requests for part in request["input"]]
    assert sent == [text[a:b] for a, b in result.window_spans.tolist()]
    assert sent == ["a b c d", "d 漢字 e", "e f 😀 g"]
    assert [len(r["input"]) for r in server.requests] == [2, 1]
    assert heard == [(7, 10), (10, 10)]
    np.testing.assert_allclose(np.linalg.norm(result.window_vectors, axis=1), 1, rtol=1e-5)
    assert len(result.sub_spans) == len(result.sub_vectors) == 0


def test_a_text_without_words_asks_only_for_the_length_of_a_vector(server: Server):
    result = embedder_at(server).embed_text("  \n")

    assert result.window_vectors.shape == (0, 3)


def test_a_busy_server_is_asked_again_after_the_time_it_names(server: Server):
    server.answers = [(429, b"slow down", {"retry-after": "7"}), (503, b"", {})]
    waits: list[float] = []

    vectors = embedder_at(server, waits=waits).embed_query(["aa"])

    assert waits == [7.0, 2.0]
    assert vectors.shape == (1, 3)


def test_a_server_that_stays_busy_is_given_up_with_its_words(server: Server):
    server.answers = [(429, b"slow down", {})] * 9
    waits: list[float] = []

    with pytest.raises(ModelError, match="429: slow down") as caught:
        embedder_at(server, waits=waits).embed_query(["aa"])

    assert (caught.value.code, caught.value.retryable, len(waits)) == ("rate_limit_exceeded", True, 3)


def test_a_refusal_is_not_tried_again(server: Server):
    server.answers = [(401, b"wrong key", {})]

    with pytest.raises(ModelError, match="401: wrong key"):
        embedder_at(server).embed_query(["aa"])

    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"index": 1, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": "x"}]}',
        b'{"data": [{"index": 0, "embedding": [null]}]}',
    ],
)
def test_an_answer_that_is_no_vector_is_an_error_of_the_model(server: Server, body: bytes):
    server.answers = [(200, body, {})]

    with pytest.raises(ModelError, match="answered with something else"):
        embedder_at(server).embed_query(["aa"])


def test_vectors_of_another_length_than_before_are_refused(server: Server):
    embedder = embedder_at(server)
    embedder.embed_query(["aa"])
    server.answers = [(200, b'{"data": [{"index": 0, "embedding": [1, 2]}]}', {})]

    with pytest.raises(ModelError, match="vectors of 2 numbers, after 3 before"):
        embedder.embed_query(["bb"])


def test_a_host_that_is_not_allowed_is_never_contacted():
    endpoint = HttpEndpoint("m", base_url="https://embeddings.invalid/v1", check_host=Egress().check)

    with pytest.raises(EgressError, match=r"embeddings\.invalid"):
        endpoint(["text"])


def test_a_server_that_is_not_there_is_an_error_that_may_pass(server: Server):
    endpoint = HttpEndpoint("m", base_url="http://127.0.0.1:9", check_host=Egress().check)

    with pytest.raises(ModelError, match="No embedding server answers") as caught:
        endpoint(["text"])

    assert caught.value.retryable


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not rows of finite numbers"):
        read_vectors({"data": [{"index": 0, "embedding": [float("nan")]}]}, n_texts=1)
