"""OpenAI's published OpenAPI document of version 2 as a judge of answers.

The document lies outside of this repository, which only tells where recordings of the hosted service deviate from it.
"""

import copy
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

DOCUMENT = Path(__file__).parents[2].parent / "shared/contract/assistants-openapi.json"

ERROR_STATUSES = {400, 401, 403, 404, 405, 413, 429, 502, 503}
"""What we answer beside 200. The document names 429 alone; 403 and 413 are the local server's own, and 502 and 503 its
word for a model's server that fails."""

OWN_PAGES = {"", "/v1"}
"""What says where the API lives, to a browser that opens the server's address."""

NOT_SERVED = {
    ("DELETE", "/models/{model}"),
}
"""Operations that this version does not have; `docs/coverage.md` lists them."""

Method = str


@dataclass(frozen=True)
class Deviation:
    """A place where the document is wrong about the hosted service, or where we add to it.

    `schema` is the name of a component, `field` one of its properties; `how` what is done there.
    """

    schema: str
    field: str
    how: Literal["may be null", "may be text", "may be missing", "may be added", "may also be"]
    why: str
    also: str = ""


RECORDED = "recorded traffic of the hosted service"
OURS = "our addition, in docs/differences.md"
DEVIATIONS: Sequence[Deviation] = (
    Deviation("RunObject", "instructions", "may be null", RECORDED),
    *(
        Deviation(f"List{kind}Response", end, "may be null", f"{RECORDED}: an empty list")
        for kind in ("Assistants", "Messages", "Runs", "RunSteps", "Files", "VectorStores", "VectorStoreFiles")
        for end in ("first_id", "last_id")
    ),
    *(
        Deviation("MessageObject", field, "may be missing", f"{RECORDED}: only copies in a stream have it")
        for field in ("status", "incomplete_details", "completed_at", "incomplete_at")
    ),
    Deviation("RunStepObject", "expired_at", "may be missing", f"{RECORDED}: it has expires_at instead"),
    Deviation("RunStepObject", "metadata", "may be missing", RECORDED),
    Deviation("OpenAIFile", "expires_at", "may be null", RECORDED),
    Deviation("OpenAIFile", "status_details", "may be null", RECORDED),
    Deviation("OpenAIFile", "purpose", "may also be", "the document itself lets files be uploaded with it", "evals"),
    Deviation("VectorStoreObject", "name", "may be null", RECORDED),
    Deviation("VectorStoreObject", "expires_after", "may be null", RECORDED),
    Deviation("VectorStoreFileBatchObject", "object", "may also be", RECORDED, "vector_store.file_batch"),
    Deviation("Embedding", "embedding", "may be text", "the document itself has encoding_format: base64"),
    Deviation("VectorStoreSearchResultItem", "page", "may be added", OURS),
    Deviation("VectorStoreSearchResultItem", "start_index", "may be added", OURS),
    Deviation("VectorStoreSearchResultItem", "end_index", "may be added", OURS),
)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer."""

    method: Method
    path: str
    status: int
    kind: str
    """The media type, without parameters."""
    body: Any
    """Of JSON, the value; of an event stream, its events; of anything else, nothing."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.status}"


class Judge:
    """Finds what is wrong with an answer, by the document with some deviations allowed."""

    def __init__(self, document: dict[str, Any], allowed: Iterable[Deviation] = DEVIATIONS) -> None:
        self._document = copy.deepcopy(document)
        for deviation in allowed:
            allow(self._document["components"]["schemas"], deviation)
        self._patterns = [
            (method.upper(), path, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))))
            for path, operations in sorted(self._document["paths"].items(), key=lambda item: "{" in item[0])
            for method in operations
            if method in {"get", "post", "delete"}
        ]
        self._validators: dict[str, Validator] = {}

    @property
    def served(self) -> set[tuple[Method, str]]:
        """The operations that this version has."""
        return {(method, path) for method, path, _ in self._patterns} - NOT_SERVED

    def operation(self, exchange: Exchange) -> tuple[Method, str] | None:
        path = exchange.path.removeprefix("/v1")
        for method, template, pattern in self._patterns:
            names_model = template == "/models/{model}" and path.startswith("/models/")  # a name may have slashes
            if method == exchange.method and (names_model or pattern.fullmatch(path)):
                return method, template
        return None

    def faults(self, exchange: Exchange) -> list[str]:
        return [f"{exchange}: {fault}" for fault in self._faults(exchange)]

    def _faults(self, exchange: Exchange) -> Iterator[str]:
        operation = self.operation(exchange)
        if exchange.status != 200:
            if exchange.status not in ERROR_STATUSES:
                yield "this status is not for our answers"
            yield from self._mismatches("/components/schemas/ErrorResponse", exchange.body)
        elif operation is None and exchange.path.rstrip("/") not in OWN_PAGES:
            yield "the document has no such operation"
        elif operation is None:
            return
        elif exchange.kind == "text/event-stream":
            for event in exchange.body or ():  # nothing, when the stream was left to the test
                yield from self._mismatches("/components/schemas/AssistantStreamEvent", event, event["event"])
        elif operation == ("GET", "/files/{file_id}/content"):
            if exchange.kind != "application/octet-stream":  # the document has a JSON string; the service sent bytes
                yield f"a file is sent as {exchange.kind}"
        else:
            method, template = operation
            place = template.replace("~", "~0").replace("/", "~1")
            yield from self._mismatches(
                f"/paths/{place}/{method.lower()}/responses/200/content/application~1json/schema", exchange.body
            )

    def _mismatches(self, pointer: str, value: Any, about: str = "") -> Iterator[str]:
        if pointer not in self._validators:
            self._validators[pointer] = Draft202012Validator({**self._document, "$ref": f"#{pointer}"})
        for error in self._validators[pointer].iter_errors(value):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            yield f"{about}{where}: {error.message[:300]}"


def allow(schemas: dict[str, Any], deviation: Deviation) -> None:
    """Change the document's schemas so that they allow a deviation."""
    schema = schemas[deviation.schema]
    match deviation.how:
        case "may be missing":
            schema["required"].remove(deviation.field)
        case "may be null" | "may be text":
            also = {"type": "null" if deviation.how == "may be null" else "string"}
            schema["properties"][deviation.field] = {"anyOf": [schema["properties"][deviation.field], also]}
        case "may be added":
            assert schema["additionalProperties"] is False
            schema["properties"][deviation.field] = {"type": "integer"}
        case "may also be":
            schema["properties"][deviation.field]["enum"].append(deviation.also)


@cache
def document() -> dict[str, Any]:
    """The document; without it a test is skipped, or fails where everything must be tested."""
    if not DOCUMENT.exists():
        message = f"The published OpenAPI document is not at {DOCUMENT}."
        if os.environ.get("CI") == "true":  # noqa: TID251 - a setting of the tests, not of the product
            pytest.fail(message)
        pytest.skip(message)
    found: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    return found


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each with its name and its data."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if fields:
            data = fields["data"]
            events.append({"event": fields["event"], "data": data if data == "[DONE]" else json.loads(data)})
    return events


def watch(client: Any, seen: list[Exchange], *, streams: bool = False) -> None:
    """Write down what a client of the SDK asks and is answered; event streams are read to their end first, or not."""

    def wanted(response: Any) -> bool:
        return kind_of(response) == "application/json" or (streams and kind_of(response) == "text/event-stream")

    def note(response: Any) -> None:
        body = None
        if wanted(response):
            is_stream = kind_of(response) == "text/event-stream"
            body = events_of(response.text) if is_stream else json.loads(response.content)
        request = response.request
        seen.append(Exchange(request.method, request.url.path, response.status_code, kind_of(response), body))

    def read_and_note(response: Any) -> None:
        if wanted(response):
            response.read()
        note(response)

    async def wait_and_note(response: Any) -> None:
        if wanted(response):
            await response.aread()
        note(response)

    is_async = isinstance(client, openai.AsyncOpenAI)
    client._client.event_hooks = {"response": [wait_and_note if is_async else read_and_note]}


def kind_of(response: Any) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0]
