"""What servers say when they refuse, and what the run loop makes of it."""

import pytest

from localassist import clock
from localassist.errors import ContextLengthError
from localassist.llm.failures import Refusal, model_error, read_refusal, retry_after_s


def made(status: int, words: str = "", **more):
    return model_error(Refusal(status, words, **more), model="m", server="http://s/v1")


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.", 4096),
        ("maximum context length of 32,768 tokens", 32768),
        ("the request exceeds the available context size (n_ctx: 2048)", 2048),
        ("loaded with context length of only 4096 tokens, which is not enough", 4096),
        ("prompt is too long: 210000 tokens > 200000 maximum", 200000),
        ("The input token count (9) exceeds the maximum number of tokens allowed (1048576).", 1048576),
        ("The prompt does not fit the context window.", None),
    ],
)
def test_a_prompt_that_is_too_long_is_told_apart_with_its_limit(words: str, limit: int | None) -> None:
    error = made(400, words)

    assert isinstance(error, ContextLengthError)
    assert (error.max_tokens, error.retryable) == (limit, False)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (401, "server_error", False),
        (403, "server_error", False),
        (404, "server_error", False),
        (400, "invalid_prompt", False),
        (422, "invalid_prompt", False),
        (408, "server_error", True),
        (429, "rate_limit_exceeded", True),
        (500, "server_error", True),
        (502, "server_error", True),
        (503, "server_error", True),
        (529, "server_error", True),
        (501, "server_error", False),
        (301, "server_error", False),
    ],
)
def test_each_status_has_its_code_and_says_whether_to_try_again(status: int, code: str, retryable: bool) -> None:
    error = made(status, "their own words")

    assert (error.code, error.retryable) == (code, retryable)
    assert "their own words" in error.message
    assert str(status) in error.message


def test_a_spent_quota_is_not_tried_again() -> None:
    assert not made(429, "You exceeded your current quota", code="insufficient_quota").retryable


@pytest.mark.parametrize(
    ("body", "words", "code"),
    [
        (b'{"error":{"message":"No","code":"bad"}}', "No", "bad"),
        (b'{"error":"model not found"}', "model not found", ""),
        (b'{"detail":"Not Found"}', "Not Found", ""),
        (b'{"message":"no","code":429}', "no", "429"),
        (b"<html><style>p {}</style><h1>502 Bad  Gateway</h1></html>", "502 Bad Gateway", ""),
        (b'"oops"', "oops", ""),
        (b"", "", ""),
        (b"\xff\xfe", "\ufffd\ufffd", ""),
        (b'{"error":{"message":"too big","n_ctx":512}}', "too big (n_ctx: 512)", ""),
    ],
)
def test_the_words_are_found_in_any_body(body: bytes, words: str, code: str) -> None:
    refusal = read_refusal(400, body, {})

    assert (refusal.words, refusal.code) == (words, code)


def test_long_words_are_shortened() -> None:
    assert len(read_refusal(500, b"x" * 100_000, {}).words) < 700


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1.2.3"}, None),
    ],
)
def test_the_wait_is_read_as_seconds_milliseconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    with clock.frozen(lambda: 100.0):
        assert retry_after_s(headers) == seconds
