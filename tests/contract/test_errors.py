"""Wrong requests: the SDK's error classes, and the API's words."""

from typing import Any

import openai
import pytest
from openai import OpenAI


def refused(error: type[openai.APIStatusError], call: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert caught.value.request_id
    body: dict[str, Any] = caught.value.response.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return body


def test_an_unknown_thread_is_not_found(client: OpenAI) -> None:
    body = refused(openai.NotFoundError, client.beta.threads.retrieve, "thread_none")

    assert body == {
        "message": "No thread found with id 'thread_none'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_a_wrong_body_is_a_bad_request(client: OpenAI) -> None:
    body = refused(openai.BadRequestError, client.beta.assistants.create, model="m", extra_body={"colour": "red"})

    assert (body["message"], body["code"]) == ("Unknown parameter: 'colour'.", "unknown_parameter")


def test_an_unknown_path_and_a_wrong_method_have_the_apis_body(client: OpenAI) -> None:
    unknown = refused(openai.NotFoundError, client.post, "/engines", cast_to=object)
    wrong = refused(openai.APIStatusError, client.delete, "/assistants", cast_to=object)

    assert unknown["message"].startswith("Invalid URL (POST /v1/engines). This path is not part of localassist")
    assert "/v1/assistants" in unknown["message"]
    assert "docs/coverage.md" in unknown["message"]
    assert (wrong["code"], wrong["message"]) == (
        "method_not_supported",
        "Not allowed: DELETE /v1/assistants. This path takes GET, HEAD, POST.",
    )


def test_a_base_url_with_one_v1_too_many_is_named(client: OpenAI) -> None:
    unknown = refused(openai.NotFoundError, client.get, "/v1/assistants", cast_to=object)

    assert unknown["message"] == (
        "Invalid URL (GET /v1/v1/assistants). The base URL must end in one '/v1', not in two."
    )


def test_a_purpose_that_does_not_exist_is_refused(client: OpenAI) -> None:
    body = refused(openai.BadRequestError, client.files.create, file=("a.txt", b"a"), purpose="world_domination")

    assert body["param"] == "purpose"
    assert body["message"].startswith("'world_domination' is not one of ['fine-tune', 'assistants',")


def test_a_limit_above_the_maximum_is_refused(client: OpenAI) -> None:
    body = refused(openai.BadRequestError, client.beta.assistants.list, limit=101)

    assert (body["param"], body["code"]) == ("limit", "integer_above_max_value")


def test_a_run_on_an_empty_thread_is_refused(client: OpenAI) -> None:
    assistant = client.beta.assistants.create(model="m")
    thread = client.beta.threads.create()

    body = refused(openai.BadRequestError, client.beta.threads.runs.create, thread.id, assistant_id=assistant.id)

    assert body["code"] == "invalid_thread"


def test_every_answer_has_the_headers_of_the_api(client: OpenAI) -> None:
    headers = client.beta.assistants.with_raw_response.list().headers

    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert int(headers["openai-processing-ms"]) >= 1
